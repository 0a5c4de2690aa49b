"""Pretrained pipelines of diffusers: which files they have, their parts, and how they are adapted and sampled."""

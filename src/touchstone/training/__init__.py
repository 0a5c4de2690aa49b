"""Training: one seed in loop.py, all seeds of a run in run.py, and what a run consists of in setup.py."""

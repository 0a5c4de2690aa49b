"""Likeness of generated training images to real ones, and copies among them."""

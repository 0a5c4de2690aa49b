"""Measures of generated training images against the real ones: how like them, and how copied from them."""

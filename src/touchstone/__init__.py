"""Touchstone: does an augmentation help? A reproducible image-classification pipeline with evidence."""

import os

# Idle OpenMP threads yield instead of spinning: free on a quiet machine, several times faster on a busy one.
# It counts only when set before torch is imported, hence here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

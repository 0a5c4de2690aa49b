"""Touchstone: does an augmentation help? A reproducible image-classification pipeline with evidence."""

import os

# Idle OpenMP threads spin for a fraction of a millisecond, then sleep. Spinning for good, the default, is several
# times slower on a busy machine; sleeping at once is twice as slow for small nets on a quiet one (docs/speed.md).
# It counts only when set before torch is imported, hence here. GOMP_SPINCOUNT is GNU's; others ignore it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = "0.1.0"

"""Touchstone, a reproducible image-classification pipeline that measures whether an augmentation helps."""

import ctypes
import gc
import os
import sys

from touchstone import arithmetic

# Before torch, NumPy or OpenCV are imported, hence here.
arithmetic.hold(arithmetic.declared(sys.argv[0]))

# Searching hundreds of thousands of new objects for garbage takes a quarter of a stage's time to import, and finds
# none. stage.py turns it on again.
if arithmetic.is_stage(sys.argv[0]):
    gc.disable()

# Idle OpenMP threads spin for a fraction of a millisecond and then sleep. Spinning for ever, the default, is several
# times slower on a busy machine; sleeping at once is twice as slow for small nets on a quiet one (docs/speed.md).
# The variables take effect only if they are set before torch is imported, hence here. GOMP_SPINCOUNT is read by GNU's
# OpenMP and ignored by others.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# glibc returns large blocks to the system at once and asks for them again page by page, which takes much of the time of
# a net at 224 px (docs/speed.md). With these options the process keeps the memory that it has had.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
if sys.platform == "linux":
    _libc = ctypes.CDLL(None)
    if hasattr(_libc, "mallopt") and hasattr(_libc, "gnu_get_libc_version"):
        for _option, _bytes in ((M_MMAP_THRESHOLD, 2**30), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**26)):
            _libc.mallopt(_option, _bytes)

__version__ = "0.1.0"

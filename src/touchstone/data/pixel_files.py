"""Files of pixels that are larger than memory: written in blocks, and read without their pages staying in the process.

Pages of a mapped file count as memory of the process that has read or written them, although the system can drop them
at any time. Containers and monitors that limit or show that figure would stop or blame a stage for them.
"""

import mmap
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np


class PixelFile:
    """A `.npy` file of pixels of a given shape, (N, H, W, C), which several threads may fill in any order."""

    def __init__(self, file: Path, shape: Sequence[int], dtype: np.dtype) -> None:
        self._file = file.open("wb")
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(shape)}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._file.flush()
        self._start, self._row_bytes = self._file.tell(), int(np.prod(shape[1:])) * dtype.itemsize
        self._file.truncate(self._start + shape[0] * self._row_bytes)

    def __enter__(self) -> "PixelFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, first: int, block: np.ndarray) -> None:
        """Write images (B, H, W, C) to the rows from `first` on."""
        left, at = np.ascontiguousarray(block).data.cast("B"), self._start + first * self._row_bytes
        while left:
            done = os.pwrite(self._file.fileno(), left, at)
            left, at = left[done:], at + done


def release(images: np.ndarray) -> None:
    """Let go of the pages of a file that `images` maps for reading; an array in memory stays as it is.

    What is read again comes from the file, or from the system's cache of it.
    """
    base: object = images
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and not images.flags.writeable:
        base.madvise(mmap.MADV_DONTNEED)

"""Files of pixels that are larger than memory, written in blocks by one thread or several.

Images of one size are an array (N, H, W, C). Images of several sizes lie one after another, without padding, as pixels
(P, C), and those stored as they came as bytes (B,).

Pages of a mapped file count as memory of the process that has read or written them, although the system can drop them
at any time. Containers and monitors that limit or show that figure would stop or blame a stage for them. So files are
written without a mapping, and `lazy_images.release` lets go of what was read.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Self

import numpy as np


class PixelFile:
    """A `.npy` file of pixels of a given shape, (N, H, W, C), which several threads may fill in any order."""

    def __init__(self, file: Path, shape: Sequence[int], dtype: np.dtype) -> None:
        self._file = file.open("wb")
        self._shape, self._dtype = tuple(shape), dtype
        self._write_header()
        self._start, self._row_bytes = self._file.tell(), int(np.prod(shape[1:])) * dtype.itemsize
        self._file.truncate(self._start + shape[0] * self._row_bytes)

    def _write_header(self) -> None:
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, first: int, block: np.ndarray) -> None:
        """Write images (B, H, W, C), or pixels (B, C), to the rows from `first` on."""
        left, at = np.ascontiguousarray(block).data.cast("B"), self._start + first * self._row_bytes
        while left:
            done = os.pwrite(self._file.fileno(), left, at)
            left, at = left[done:], at + done


class GrowingFile(PixelFile):
    """A `.npy` file of pixels (P, C), or of bytes (B,), whose number need not be known before.

    Several threads may add to it.
    """

    def __init__(self, file: Path, dtype: np.dtype, channels: int | None = None) -> None:
        super().__init__(file, (0,) if channels is None else (0, channels), dtype)
        self._lock = Lock()

    def __exit__(self, *_: object) -> None:
        self._file.seek(0)
        self._write_header()  # NumPy leaves room in it for any number of rows
        super().__exit__()

    def append(self, pixels: np.ndarray) -> int:
        """Add pixels (P, C), or bytes (B,), and return the row of the first."""
        with self._lock:
            first = self._shape[0]
            self._shape = (first + len(pixels), *self._shape[1:])
        self.write(first, pixels)
        return first

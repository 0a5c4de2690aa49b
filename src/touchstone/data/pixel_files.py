"""Files of pixels that are larger than memory: written in blocks, and read without their pages staying in the process.

Images of one size are an array (N, H, W, C). Images of several sizes lie one after another, without padding, as pixels
(P, C); where each begins follows from the sizes.

Pages of a mapped file count as memory of the process that has read or written them, although the system can drop them
at any time. Containers and monitors that limit or show that figure would stop or blame a stage for them.
"""

import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Self

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
    """A `.npy` file of pixels (P, C) whose number need not be known before. Several threads may add to it."""

    def __init__(self, file: Path, channels: int, dtype: np.dtype) -> None:
        super().__init__(file, (0, channels), dtype)
        self._lock = Lock()

    def __exit__(self, *_: object) -> None:
        self._file.seek(0)
        self._write_header()  # NumPy leaves room in it for any number of rows
        super().__exit__()

    def append(self, pixels: np.ndarray) -> int:
        """Add pixels (B, C), and return the row of the first."""
        with self._lock:
            first = self._shape[0]
            self._shape = (first + len(pixels), *self._shape[1:])
        self.write(first, pixels)
        return first


class Uneven:
    """Images of several sizes in pixels (P, C). Behaves like an array (N, H, W, C), H and W those of the largest.

    One row is the image itself, (h, w, C). Several rows are an array (B, H, W, C) with the H and W that these images
    need, each at the top left on zeros. Iteration yields the images themselves.

    sizes: their (height, width), int64 (N, 2). starts: the row of `pixels` at which each image begins, int64 (N,); by
    default they follow one another. Raises ValueError where the pixels are not those of images of these sizes.
    """

    ndim = 4

    def __init__(self, pixels: np.ndarray, sizes: np.ndarray, starts: np.ndarray | None = None) -> None:
        ends = np.cumsum(sizes.prod(1))
        self.pixels, self.sizes, self.dtype = pixels, sizes, pixels.dtype
        self.starts = ends - sizes.prod(1) if starts is None else starts
        if pixels.ndim != 2 or (starts is None and len(pixels) != (ends[-1] if len(ends) else 0)):
            raise ValueError(f"got pixels {pixels.shape}, expected those of {len(sizes)} images of the table's sizes")
        self.shape = (len(sizes), *sizes.max(0, initial=0).tolist(), pixels.shape[1])

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._image(row) for row in range(len(self)))

    def __getitem__(self, key: Any) -> np.ndarray:
        row, *within = key if isinstance(key, tuple) else (key,)
        if isinstance(row, int | np.integer):
            return self._image(range(len(self))[row])[tuple(within)]
        rows = np.arange(len(self))[row]
        out = np.zeros((len(rows), *self.sizes[rows].max(0, initial=0), self.shape[3]), self.dtype)
        for image, each in zip(out, rows.tolist(), strict=True):
            height, width = self.sizes[each]
            image[:height, :width] = self._image(each)
        return out[(slice(None), *within)]

    def _image(self, row: int) -> np.ndarray:
        height, width = self.sizes[row].tolist()
        first = int(self.starts[row])
        return self.pixels[first : first + height * width].reshape(height, width, self.shape[3])

    def take(self, rows: Sequence[int] | np.ndarray, axis: int = 0) -> "Uneven":
        """Return the given rows, in order, on the same pixels. axis: that of the images, as NumPy's arrays take it."""
        if axis:
            raise ValueError(f"axis: got {axis}, expected 0")
        return Uneven(self.pixels, self.sizes[rows], self.starts[rows])


def release(images: np.ndarray | Uneven) -> None:
    """Let go of the pages of a file that `images` maps for reading; an array in memory stays as it is.

    What is read again comes from the file, or from the system's cache of it.
    """
    images = images.pixels if isinstance(images, Uneven) else images
    base: object = images
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and not images.flags.writeable:
        base.madvise(mmap.MADV_DONTNEED)

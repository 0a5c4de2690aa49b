"""Images that behave like an array (N, H, W, C) and are read, decoded or computed one by one when they are used."""

import copy
import mmap
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Self, cast

import numpy as np


class LazyImages(ABC):
    """N images of a type and a number of channels, perhaps of several sizes: H and W are those of the largest.

    One row is the image itself, (h, w, C). Several rows are an array (B, H, W, C) with the H and W that these images
    need, each at the top left on zeros. Iteration yields the images themselves.
    """

    ndim = 4
    _files: Sequence[np.ndarray] = ()  # that may be mapped
    encoding: dict[str, Any] | None = None
    """The record by which images stored as files are decoded, see `encoded`; None for stored pixels."""

    def __init__(self, sizes: np.ndarray, channels: int, dtype: np.dtype) -> None:
        """sizes: the (height, width) of each image, int64 (N, 2)."""
        self._sizes, self._rows = sizes, np.arange(len(sizes))
        self.dtype = np.dtype(dtype)
        self.shape = (len(sizes), *sizes.max(0, initial=0).tolist(), channels)

    @abstractmethod
    def _image(self, row: int) -> np.ndarray:
        """Return the pixels (h, w, C) of one of the images that `__init__` was told of."""

    def _several(self, rows: Sequence[int]) -> Iterator[np.ndarray]:
        """Yield the pixels of several of them."""
        return (self._image(row) for row in rows)

    def content(self, row: int) -> np.ndarray:
        """Return the bytes by which an image is stored, uint8 (B,), of images with an `encoding`."""
        raise NotImplementedError

    def release(self) -> None:
        """Let go of the pages of files that are mapped."""
        for file in self._files:
            release(file)

    @property
    def sizes(self) -> np.ndarray:
        """The (height, width) of each image, int64 (N, 2)."""
        return self._sizes[self._rows]

    def take(self, rows: Sequence[int] | np.ndarray) -> Self:
        """Return the given rows, in order, which are not read yet."""
        taken = copy.copy(self)
        taken._rows = self._rows[np.asarray(rows, np.int64)]
        taken.shape = (len(taken._rows), *taken.sizes.max(0, initial=0).tolist(), self.shape[3])
        return taken

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._image(row) for row in self._rows.tolist())

    def __getitem__(self, key: Any) -> np.ndarray:
        row, *within = key if isinstance(key, tuple) else (key,)
        if isinstance(row, int | np.integer):
            return self._image(int(self._rows[row]))[tuple(within)]
        rows = self._rows[row]
        out = np.zeros((len(rows), *self._sizes[rows].max(0, initial=0), self.shape[3]), self.dtype)
        for place, image in zip(out, self._several(rows.tolist()), strict=True):
            place[: image.shape[0], : image.shape[1]] = image
        return out[(slice(None), *within)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


class StoredImages(LazyImages):
    """Images in one or several arrays, the files of a set: (n, H, W, C), or without padding as pixels (P, C)."""

    def __init__(self, files: Sequence[np.ndarray], sizes: np.ndarray, places: np.ndarray) -> None:
        """places: for each image the number of its array and its row, or its first pixel, there, int64 (N, 2).

        Raises ValueError where the arrays are not those of images of these sizes.
        """
        super().__init__(sizes, files[0].shape[-1], files[0].dtype)
        self._files, self._places = files, places
        wanted = len(sizes) if files[0].ndim == 4 else int(sizes.prod(1).sum())
        if sum(map(len, files)) != wanted or {file.ndim for file in files} not in ({2}, {4}):
            got = ", ".join(str(file.shape) for file in files)
            raise ValueError(f"got pixels {got}, expected those of {len(sizes)} images of the table's sizes")

    @classmethod
    def uneven(cls, pixels: np.ndarray, sizes: np.ndarray) -> Self:
        """Return the images of several sizes that follow one another in pixels (P, C).

        Raises ValueError where the pixels are not those of images of these sizes.
        """
        starts = begins(sizes.prod(1))
        return cls([pixels], sizes, np.stack([np.zeros_like(starts), starts], axis=1))

    def _image(self, row: int) -> np.ndarray:
        file, first = self._places[row].tolist()
        if self._files[file].ndim == 4:
            return self._files[file][first]
        height, width = self._sizes[row].tolist()
        return self._files[file][first : first + height * width].reshape(height, width, self.shape[3])


def begins(lengths: np.ndarray) -> np.ndarray:
    """Return where each of several pieces begins that follow one another, int64 (N,)."""
    return np.cumsum(lengths) - lengths


def equal_sizes(count: int, shape: Sequence[int]) -> np.ndarray:
    """Return the (height, width) of `count` images that all have this `shape`, (h, w, C): int64 (count, 2)."""
    return np.tile(np.array(shape[:2], np.int64), (count, 1))


def as_array(images: LazyImages) -> np.ndarray:
    """Return the images as what they behave like, for the type checker."""
    return cast(np.ndarray, images)


def take(images: np.ndarray, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the given rows, in order; those of an array are copied, others are not read yet."""
    if isinstance(images, LazyImages):
        return as_array(images.take(rows))
    return np.asarray(images[np.asarray(rows, np.int64)])


def release(images: np.ndarray) -> None:
    """Let go of the pages of a file that `images` maps for reading; an array in memory stays as it is.

    What is read again comes from the file, or from the system's cache of it.
    """
    if isinstance(images, LazyImages):
        images.release()
        return
    base: object = images
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and not images.flags.writeable:
        base.madvise(mmap.MADV_DONTNEED)

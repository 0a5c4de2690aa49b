"""Images that are stored as the files they came as, where these are smaller than their pixels, and decoded when used.

The pixels are those that preparation would have stored. What decodes them is therefore noted beside the images, with
the hash of its code: where the code has changed since, they have to be prepared again.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from touchstone.code_hash import digest
from touchstone.data.as_prepared import as_prepared
from touchstone.data.lazy_images import LazyImages
from touchstone.data.levels import dtype_of
from touchstone.data.preparation import Preparation
from touchstone.errors import TouchstoneError

BLOCK = 64  # images that are decoded ahead
CODE = "code"  # in the note, the hash of the code that decodes


class EncodedImages(LazyImages):
    """Images in files of bytes: the bytes of an image file, or its pixels where they are not more."""

    def __init__(self, files: Sequence[np.ndarray], sizes: np.ndarray, places: np.ndarray, how: Preparation) -> None:
        """files: uint8 (B,) each. places: for each image the number of its file, its first byte there, and the number
        of its bytes, int64 (N, 3). Raises ValueError where the files have other bytes."""
        super().__init__(sizes, how.channels, dtype_of(how.bits))
        self._files, self._places, self._how = files, places, how
        self.encoding = note(how)
        if {file.shape[1:] for file in files} != {()} or sum(map(len, files)) != places[:, 2].sum():
            raise ValueError(f"got files {', '.join(str(file.shape) for file in files)}, expected those of the places")

    def content(self, row: int) -> np.ndarray:
        """Return the bytes of an image, uint8 (B,)."""
        return self._content(int(self._rows[row]))

    def _content(self, row: int) -> np.ndarray:
        file, first, length = self._places[row].tolist()
        return self._files[file][first : first + length]

    def _image(self, row: int) -> np.ndarray:
        return decoded(self._content(row), (*self._sizes[row].tolist(), self.shape[3]), self._how)

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self), BLOCK):
            yield from self._several(self._rows[start : start + BLOCK].tolist())

    def _several(self, rows: Sequence[int]) -> Iterator[np.ndarray]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            yield from pool.map(self._image, rows)


def smaller(content: bytes | None, pixels: np.ndarray) -> np.ndarray:
    """Return the bytes by which an image is stored, uint8 (B,): those of its file, if it has one that is smaller than
    its prepared pixels, else these."""
    if content is not None and len(content) < pixels.nbytes:
        return np.frombuffer(content, np.uint8)
    return np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)


def decoded(content: np.ndarray, shape: tuple[int, ...], how: Preparation) -> np.ndarray:
    """Return the image, pixels of the `shape` (h, w, C), that is stored by these bytes."""
    dtype = dtype_of(how.bits)
    if len(content) == np.prod(shape) * dtype.itemsize:
        return content.view(dtype).reshape(shape)
    return as_prepared(lambda *, most=-1: content.tobytes(), how)


def note(how: Preparation) -> dict[str, Any]:
    """Return how images are decoded, with the hash of the code that does it."""
    return {**asdict(how), CODE: digest(Path(__file__))}


def decoding(noted: dict[str, Any]) -> Preparation:
    """Return what `note` said. Raises TouchstoneError where the code that decodes has changed since."""
    if noted.get(CODE) != digest(Path(__file__)):
        raise TouchstoneError("its images were stored by other code than decodes them now; run `dvc repro prepare`")
    return Preparation.of_meta(noted)

"""Images that are stored as the files they came as, where these are smaller than their pixels, and decoded when used.

The pixels are those that preparation would have stored. What decodes them is therefore noted beside the images, with
the hash of its code: where the code has changed since, they have to be prepared again.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib import metadata
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
FEW = 4  # images that are decoded sooner than threads begin
CODE, DECODERS = "code", "decoders"  # in the note: the hash of the code that decodes, and the libraries it uses
LIBRARIES = ("opencv-python-headless", "pillow", "torchvision")


class EncodedImages(LazyImages):
    """Images in files of bytes: the bytes of an image file, or its pixels where they are not more."""

    def __init__(
        self, files: Sequence[np.ndarray], sizes: np.ndarray, places: np.ndarray, how: Preparation, where: str = ""
    ) -> None:
        """files: uint8 (B,) each. places: for each image the number of its file, its first byte there, and the number
        of its bytes, int64 (N, 3). where: names the set in errors. Raises ValueError where the files have other
        bytes."""
        super().__init__(sizes, how.channels, dtype_of(how.bits))
        self._files, self._places, self._how, self._where = files, places, how, where
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
        shape = *self._sizes[row].tolist(), self.shape[3]
        try:
            image = decoded(self._content(row), shape, self._how)
        except TouchstoneError as error:
            raise TouchstoneError(f"{self._where}: image {row}: {error}; run `dvc checkout`") from error
        if image.shape != shape:
            height, width = shape[:2]
            raise TouchstoneError(
                f"{self._where}: image {row} has {image.shape[1]} x {image.shape[0]} px, its table {width} x {height}; "
                "run `dvc checkout`"
            )
        return image

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self), BLOCK):
            yield from self._several(self._rows[start : start + BLOCK].tolist())

    def _several(self, rows: Sequence[int]) -> Iterator[np.ndarray]:
        if len(rows) < FEW or _is_worker():  # workers share the cores already
            yield from map(self._image, rows)
            return
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            yield from pool.map(self._image, rows)


def _is_worker() -> bool:
    """Return whether this is a process of torch's loader; preparation does without torch."""
    loader = sys.modules.get("torch.utils.data")
    return loader is not None and loader.get_worker_info() is not None


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
    """Return how images are decoded, with the hash of the code that does it and the libraries that it uses."""
    return {**asdict(how), CODE: digest(Path(__file__)), DECODERS: decoders()}


def decoders() -> dict[str, str]:
    """Return the version of each library that decodes and resizes."""
    return {name: metadata.version(name) for name in LIBRARIES}


def decoding(noted: dict[str, Any]) -> Preparation:
    """Return what `note` said. Raises TouchstoneError where the code or a library that decodes has changed since."""
    if noted.get(CODE) != digest(Path(__file__)):
        raise TouchstoneError("its images were stored by other code than decodes them now; run `dvc repro prepare`")
    if noted.get(DECODERS) != decoders():
        had, have = (", ".join(f"{name} {each[name]}" for name in LIBRARIES) for each in (noted[DECODERS], decoders()))
        raise TouchstoneError(f"its images were stored with {had}, and here is {have}; run `dvc repro --force prepare`")
    return Preparation.of_meta(noted)

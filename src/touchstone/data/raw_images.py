"""Decodes the images of a raw set into one array, all prepared in the same way."""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from touchstone.data import levels
from touchstone.data.encoded import EncodedImages, smaller
from touchstone.data.lazy_images import StoredImages, as_array
from touchstone.data.ops.resize import resize
from touchstone.data.pixel_files import GrowingFile, PixelFile
from touchstone.data.preparation import Preparation
from touchstone.data.remarks import DARK
from touchstone.data.sources import RawImage, RawSet
from touchstone.data.wording import count as counted
from touchstone.errors import BadImage, TouchstoneError

BLOCK = 64  # images that a thread decodes in one piece
LOOK = 1000  # images that are read to tell how many need an extra


def decode_all(
    raw: RawSet, how: Preparation, scratch: Path, *, storage: str = "pixels"
) -> tuple[np.ndarray, np.ndarray, dict[int, str], dict[str, set[int]]]:
    """Decode and resize all images in threads.

    storage: `data.storage`. Returns the pixels (N, H, W, C), which lie in the file `scratch`, an array only where they
    are stored as pixels of one size; the valid (height, width), int64 (N, 2); the index of each image that cannot be
    decoded, and is black, with the reason; and the indices of those that are nearly black (`dark`) or have 8 bits where
    16 are kept (`shallow`). Raises TouchstoneError where images need an extra, and names them.
    """
    count, dtype, side = len(raw.images), levels.dtype_of(how.bits), how.image_size
    places, sizes, bad = np.zeros((count, 3), np.int64), np.zeros((count, 2), np.int64), dict[int, str]()
    odd: dict[str, set[int]] = {"dark": set(), "shallow": set()}
    uneven = how.resize == "shortest_edge"
    encoded = storage == "encoded" and count > 0 and raw.content(0) is not None  # else no image has a file

    def decoded(i: int) -> np.ndarray:
        try:
            source = _pixels(raw, i, how)
        except BadImage as error:
            bad[i] = str(error)
            return np.zeros((side, side, how.channels), dtype)
        if source.dtype != dtype:
            odd["shallow"].add(i)
        source = levels.prepared(source, bits=how.bits, white_value=how.white)
        if 0 < source.max() <= DARK * levels.per_level(source.dtype):
            odd["dark"].add(i)
        return resize(source, size_px=side, mode=how.resize)

    def decode_block(rows: range) -> int:
        if not isinstance(file, GrowingFile):
            file.write(rows.start, np.stack([decoded(i) for i in rows]))
            sizes[rows.start : rows.stop] = side
            return len(rows)
        for i in rows:
            image = decoded(i)
            sizes[i] = image.shape[:2]
            content = None if i in bad or not encoded else raw.content(i)
            stored = smaller(content, image) if encoded else image.reshape(-1, how.channels)
            places[i, 1:] = file.append(stored), len(stored)
        return len(rows)

    blocks = [range(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
    with (
        _naming_images(raw, how),
        _file(scratch, (count, side, side, how.channels), dtype, encoded, uneven) as file,
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=count, desc="prepare", unit="img", disable=None) as bar,
    ):
        for done in pool.map(decode_block, blocks):
            bar.update(done)
    stored = np.load(scratch, mmap_mode="r")
    if encoded:
        stored = as_array(EncodedImages([stored], sizes, places, how))
    elif uneven:
        stored = as_array(StoredImages([stored], sizes, places[:, :2]))
    return stored, sizes, bad, odd


def _file(path: Path, shape: tuple[int, ...], dtype: np.dtype, encoded: bool, uneven: bool) -> PixelFile:
    """Return a new file for all images, `shape` (N, H, W, C) where they are pixels of one size."""
    if encoded:
        return GrowingFile(path, np.dtype(np.uint8))
    return GrowingFile(path, dtype, shape[3]) if uneven else PixelFile(path, shape, dtype)


class _NeedsExtra(TouchstoneError):
    """An image cannot be decoded without a package that is not installed. `index`: which image."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


def _pixels(raw: RawSet, index: int, how: Preparation, *, max_pixels: int | None = None) -> np.ndarray:
    """Return an image as `RawSet.pixels` does. Raises _NeedsExtra where a package is missing."""
    limit = how.max_pixels if max_pixels is None else max_pixels
    try:
        return raw.pixels(index, channels=how.channels, max_pixels=limit, bits=how.bits)
    except TouchstoneError as error:
        if isinstance(error.__context__, ImportError):  # heif.py and dicom.py raise it where an import fails
            raise _NeedsExtra(str(error), index) from error
        raise


@contextmanager
def _naming_images(raw: RawSet, how: Preparation) -> Iterator[None]:
    """Name the first image that needs an extra, and say how many others need it too."""
    try:
        yield
    except _NeedsExtra as error:
        first = raw.images[error.index]
        same, is_all = _alike(raw, how, error)
        classes = Counter(name for image in same for name in image.labels).most_common()
        listed = ", ".join(f"{name} {number:,}" for name, number in classes[:5]) + (", ..." if len(classes) > 5 else "")
        share = f"{len(same):,} of {counted(len(raw.images), 'image')}{f': {listed}' if listed else ''}"
        raise TouchstoneError(f"{first.file}: {error} ({'' if is_all else 'at least '}{share})") from error


def _alike(raw: RawSet, how: Preparation, error: _NeedsExtra) -> tuple[list[RawImage], bool]:
    """Return the images that need the same extra, of LOOK images read at most, and whether these are all images.

    Those with the suffix of the first that needs it are read before others.
    """
    suffix = Path(raw.images[error.index].file).suffix.lower()
    order = sorted(range(len(raw.images)), key=lambda i: Path(raw.images[i].file).suffix.lower() != suffix)
    return [raw.images[i] for i in order[:LOOK] if _refusal(raw, i, how) == str(error)], len(order) <= LOOK


def _refusal(raw: RawSet, index: int, how: Preparation) -> str:
    """Return the error of an image that needs an extra, "" for none. No more than its header is decoded."""
    try:
        _pixels(raw, index, how, max_pixels=0)
    except BadImage:
        return ""
    except _NeedsExtra as error:
        return str(error)
    return ""


def check_readable(raw: RawSet, bad: dict[int, str], policy: str) -> None:
    """Print the images that cannot be decoded or, with the policy fail, raise TouchstoneError.

    bad: the index of each image that cannot be decoded, with the reason.
    """
    if not bad:
        return
    lines = [f"{raw.images[i].file}: {bad[i]}" for i in sorted(bad)]
    if policy == "fail":
        shown = "; ".join(lines[:10]) + (f"; and {len(lines) - 10} more" if len(lines) > 10 else "")
        raise TouchstoneError(
            f"{len(lines)} of {len(raw.images)} images cannot be read: {shown}. "
            "Repair or remove them, or set data.bad_images: skip"
        )
    print(f"left out {len(lines)} images that cannot be read:", *lines, sep="\n  ")

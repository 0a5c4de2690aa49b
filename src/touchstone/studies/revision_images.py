"""The test images whose prediction changed between two revisions, with pixels and file names out of DVC's cache."""

import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
import pandas as pd

from touchstone.data.encoded import decoded
from touchstone.data.imageset import ENCODING, PLACES, ImageSet, valid_sizes
from touchstone.data.imageset import IMAGES as FOLDER
from touchstone.data.labels import is_multi_label
from touchstone.data.lazy_images import begins
from touchstone.data.levels import is_pixels
from touchstone.data.preparation import Preparation
from touchstone.errors import TouchstoneError
from touchstone.report.changes import changes
from touchstone.report.facts import Change, Changes
from touchstone.report.galleries import LabelledImages
from touchstone.studies.revisions import Common, Revision
from touchstone.studies.stored import Stored

PREPARED = "data/prepared"
IMAGES = f"{PREPARED}/test/{FOLDER}"
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True, eq=False)
class ChangedImages:
    """The images of each run that changed; none where images may have several labels."""

    runs: dict[str, Changes]
    pixels: dict[int, np.ndarray] | None
    """Row of an image -> pixels (h, w, C), of all that are shown; None where the pixels cannot be had."""


def changed_images(before: Revision, after: Revision, found: Common, *, count: int) -> ChangedImages:
    """The test images that each run mends or breaks, at most `count` of either kind.

    Their pixels and names come from the later revision or, where that has none, from the earlier one. Without names,
    images are named by their ids.
    """
    if is_multi_label(after.meta):
        return ChangedImages({}, {})
    revisions = [(after, found.rows[1]), (before, found.rows[0])]
    names = next((named for one, rows in revisions if (named := _names(one, rows))), found.table["id"].tolist())
    blank = np.broadcast_to(np.uint8(0), (len(found.table), 1, 1, 1))  # which images are shown is not known yet
    test = LabelledImages(ImageSet(blank, found.table), names, found.labels, after.meta["classes"])
    runs = {name: changes(pair[1], pair[0], test, count=count) for name, pair in found.pairs.items()}
    shown = sorted({image.row for kept in runs.values() for image in (*kept.mended, *kept.broken)})
    pixels = next((read for one, rows in revisions if (read := _pixels(one, rows, shown)) is not None), None)
    if pixels is not None:
        runs = {name: _with_pixels(kept, pixels) for name, kept in runs.items()}
    return ChangedImages(runs, pixels)


def _with_pixels(kept: Changes, pixels: dict[int, np.ndarray]) -> Changes:
    def filled(images: Iterable[Change]) -> tuple[Change, ...]:
        return tuple(replace(image, pixels=pixels[image.row]) for image in images)

    return replace(kept, mended=filled(kept.mended), broken=filled(kept.broken))


def _names(revision: Revision, rows: np.ndarray) -> list[str]:
    """The file names of these test images, [] where files.csv cannot be had or is not of these images."""
    content = revision.stored.read(f"{PREPARED}/files.csv") if revision.stored else None
    if content is None:
        return []
    files = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    names = files.loc[files["split"] == "test", "file"].tolist()
    return [names[row] for row in rows] if len(names) == len(revision.table) else []


def _pixels(revision: Revision, rows: np.ndarray, shown: Sequence[int]) -> dict[int, np.ndarray] | None:
    """Images of a revision without their padding, None where they cannot be had.

    rows: the row in the revision's test set of each common image. shown: those common images that are wanted.
    """
    own = rows[list(shown)].tolist()
    read = _read_rows(revision.stored, own, valid_sizes(revision.table), len(revision.table))
    return None if read is None else dict(zip(shown, read, strict=True))


def _read_rows(
    stored: Stored | None, rows: Sequence[int], sizes: np.ndarray | None, count: int
) -> list[np.ndarray] | None:
    """Rows of the test images, each of pixels (h, w, C), None where a file is missing, damaged or out of reach."""
    if stored is None:
        return None
    try:
        places = stored.read(f"{IMAGES}/{PLACES}")
        if places is not None:
            return _read_places(stored, np.load(io.BytesIO(places), allow_pickle=False)[rows], sizes, rows)
        file = stored.open(f"{IMAGES}/0000.npy") or stored.open(f"{IMAGES}.npy")  # the second up to version 0.1
        if file is None:
            return None
        with file:
            return npy_rows(file, rows, sizes, count)
    except (OSError, ValueError, TouchstoneError):
        return None


def _read_places(
    stored: Stored, places: np.ndarray, sizes: np.ndarray | None, rows: Sequence[int]
) -> list[np.ndarray] | None:
    """Images of a set of several files, or of bytes, at the places of these rows, see `imageset`."""
    noted = stored.read(f"{IMAGES}/{ENCODING}")
    how = Preparation.of_meta(json.loads(noted)) if noted is not None else None
    out = []
    for row, (number, first, *length) in zip(rows, places.tolist(), strict=True):
        file = stored.open(f"{IMAGES}/{number:04d}.npy")
        if file is None:
            return None
        with file:
            array = NpyFile(file)
            if how is None:
                out.append(_shaped(array, first, None if sizes is None else sizes[row]))
                continue
            size = (how.image_size, how.image_size) if sizes is None else tuple(sizes[row].tolist())
            out.append(decoded(array.read(first, length[0]), (*size, how.channels), how))
    return out


class NpyFile:
    """A `.npy` file of which parts are read. Raises ValueError where it is none, or not row by row."""

    def __init__(self, file: BinaryIO) -> None:
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"got version {version} of the .npy format, expected one of {list(HEADERS)}")
        self.shape, by_column, self.dtype = HEADERS[version](file)
        if not is_pixels(self.dtype) or by_column:
            raise ValueError(f"got {self.dtype} {self.shape}, expected uint8 or uint16, row by row")
        self._file, self._begin = file, file.tell()

    def read(self, first: int, count: int) -> np.ndarray:
        """Rows of the array, of which no others are read. Raise ValueError where the file ends before the last."""
        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        self._file.seek(self._begin + first * size)
        content = self._file.read(count * size)
        if len(content) != count * size:
            raise ValueError(f"row {first}: got {len(content)} bytes, expected {count * size}")
        return np.frombuffer(content, self.dtype).reshape(count, *self.shape[1:])


def npy_rows(
    file: BinaryIO, rows: Sequence[int], sizes: np.ndarray | None = None, count: int | None = None
) -> list[np.ndarray]:
    """Rows of the one file of an ImageSet, each of pixels (h, w, C), of which no others are read.

    sizes: the (height, width) of all its images (N, 2), or None where they have the same. count: their number, if it
    is known. Raise ValueError where the file holds no such pixels, not all of them, or ends before a row.
    """
    array = NpyFile(file)
    whole = count if sizes is None or len(array.shape) == 4 else int(sizes.prod(1).sum())
    if whole is not None and array.shape[:1] != (whole,):
        raise ValueError(f"got {array.dtype} {array.shape}, expected those of {count} images")  # one of several files
    firsts = rows if len(array.shape) == 4 or sizes is None else begins(sizes.prod(1))[list(rows)].tolist()
    return [
        _shaped(array, first, None if sizes is None else sizes[row]) for row, first in zip(rows, firsts, strict=True)
    ]


def _shaped(array: NpyFile, first: int, size: np.ndarray | None) -> np.ndarray:
    """The image, pixels (h, w, C), that begins at this row of a file."""
    if len(array.shape) == 4:
        [image] = array.read(first, 1)
        return image if size is None else image[: size[0], : size[1]]
    if len(array.shape) != 2 or size is None:
        raise ValueError(f"got {array.dtype} {array.shape}, expected pixels (N, H, W, C) or (P, C)")
    return array.read(first, int(size.prod())).reshape(*size, array.shape[1])

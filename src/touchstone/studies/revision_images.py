"""The test images whose prediction changed between two revisions, with pixels and file names out of DVC's cache."""

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
import pandas as pd

from touchstone.data.imageset import ImageSet, valid_sizes
from touchstone.data.labels import is_multi_label
from touchstone.data.levels import is_pixels
from touchstone.report.changes import changes
from touchstone.report.facts import Change, Changes
from touchstone.report.galleries import LabelledImages
from touchstone.studies.revisions import Common, Revision
from touchstone.studies.stored import Stored

PREPARED = "data/prepared"
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
    read = _read_rows(revision.stored, own, valid_sizes(revision.table))
    return None if read is None else dict(zip(shown, read, strict=True))


def _read_rows(stored: Stored | None, rows: Sequence[int], sizes: np.ndarray | None) -> list[np.ndarray] | None:
    """Rows of the test images, each of pixels (h, w, C), None where the file is missing, damaged or out of reach."""
    try:
        file = stored.open(f"{PREPARED}/test/images.npy") if stored else None
        if file is None:
            return None
        with file:
            return npy_rows(file, rows, sizes)
    except (OSError, ValueError):
        return None


def npy_rows(file: BinaryIO, rows: Sequence[int], sizes: np.ndarray | None = None) -> list[np.ndarray]:
    """Rows of a file of an ImageSet, each of pixels (h, w, C), of which no others are read.

    sizes: the (height, width) of all its images (N, 2), or None where they have the same. Raise ValueError where the
    file holds no such pixels or ends before a row.
    """
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"got version {version} of the .npy format, expected one of {list(HEADERS)}")
    shape, by_column, dtype = HEADERS[version](file)
    if len(shape) == 4:
        places = [(row * math.prod(shape[1:]), shape[1:]) for row in rows]
    elif len(shape) == 2 and sizes is not None:
        starts = (np.cumsum(sizes.prod(1)) - sizes.prod(1)) * shape[1]
        places = [(int(starts[row]), (*sizes[row].tolist(), shape[1])) for row in rows]
    else:
        places = []
    if not is_pixels(dtype) or by_column or len(places) != len(rows):
        raise ValueError(f"got {dtype} {shape}, expected uint8 or uint16 (N, H, W, C) or (P, C), row by row")
    begin, out = file.tell(), []
    for row, (first, stored) in zip(rows, places, strict=True):
        file.seek(begin + first * dtype.itemsize)
        size = math.prod(stored) * dtype.itemsize
        content = file.read(size)
        if len(content) != size:
            raise ValueError(f"row {row}: got {len(content)} bytes, expected {size}")
        height, width = stored[:2] if sizes is None else sizes[row].tolist()
        out.append(np.frombuffer(content, dtype).reshape(stored)[:height, :width])
    return out

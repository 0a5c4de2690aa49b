"""The test images whose prediction changed between two revisions, with pixels and file names out of DVC's cache."""

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
import pandas as pd

from touchstone.data.imageset import ImageSet
from touchstone.data.labels import is_multi_label
from touchstone.data.levels import is_pixels
from touchstone.data.sheets import valid_area
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
    read = _read_rows(revision.stored, own)
    if read is None:
        return None
    images = ImageSet(read, revision.table.iloc[own].reset_index(drop=True))
    return {image: valid_area(images, place) for place, image in enumerate(shown)}


def _read_rows(stored: Stored | None, rows: Sequence[int]) -> np.ndarray | None:
    """Rows of the test images, pixels (rows, H, W, C), None where the file is missing, damaged or out of reach."""
    try:
        file = stored.open(f"{PREPARED}/test/images.npy") if stored else None
        if file is None:
            return None
        with file:
            return npy_rows(file, rows)
    except (OSError, ValueError):
        return None


def npy_rows(file: BinaryIO, rows: Sequence[int]) -> np.ndarray:
    """Rows of an .npy file, pixels (rows, H, W, C), of which no others are read.

    Raise ValueError where the file holds no pixels or ends before a row.
    """
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"got version {version} of the .npy format, expected one of {list(HEADERS)}")
    shape, by_column, dtype = HEADERS[version](file)
    if not is_pixels(dtype) or by_column or len(shape) != 4:
        raise ValueError(f"got {dtype} {shape}, expected uint8 or uint16 (N, H, W, C) row by row")
    start, size = file.tell(), math.prod(shape[1:]) * dtype.itemsize
    out = np.zeros((len(rows), *shape[1:]), dtype)
    for place, row in enumerate(rows):
        file.seek(start + row * size)
        content = file.read(size)
        if len(content) != size:
            raise ValueError(f"row {row}: got {len(content)} bytes, expected {size}")
        out[place] = np.frombuffer(content, dtype).reshape(shape[1:])
    return out

"""ImageSet: images and their table, which all stages exchange.

Its folder holds
    images.npy   uint8 or uint16 (N, H, W, C), memory-mapped; where sizes differ, pixels (P, C), image after image
    table.csv    id,label,source_id,origin and, where sizes differ, height,width; row i describes image i
    sheet.png    a contact sheet
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from touchstone.data.levels import is_pixels
from touchstone.data.pixel_files import GrowingFile, PixelFile, Uneven, release
from touchstone.errors import TouchstoneError

COLUMNS = ["id", "label", "source_id", "origin"]
BLOCK = 64  # images copied at a time: each may map megabytes of the file around it


@dataclass(frozen=True)
class ImageSet:
    """N images and their table."""

    images: np.ndarray
    """uint8 or uint16 (N, H, W, C), an array or an `Uneven` that behaves like one."""
    table: pd.DataFrame
    """N rows. label: a class name, "" if unknown. source_id: the id of the training image that an added image was made
    from. origin: "real", or the name of the transform or generator that made the image."""

    def __post_init__(self) -> None:
        if not is_pixels(self.images.dtype) or self.images.ndim != 4:
            raise ValueError(
                f"images: got {self.images.dtype} {self.images.shape}, expected uint8 or uint16 (N, H, W, C)"
            )
        if len(self.images) != len(self.table):
            raise ValueError(f"got {len(self.images)} images and {len(self.table)} table rows, expected equal numbers")

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: Sequence[int]) -> "ImageSet":
        """Return the given rows, in order; those of an array are copied."""
        images: object = self.images
        table = self.table.iloc[list(rows)].reset_index(drop=True)
        if isinstance(images, Uneven):
            return ImageSet(cast(np.ndarray, images.take(list(rows))), table)
        return ImageSet(np.asarray(self.images[list(rows)]), table)


def valid_sizes(table: pd.DataFrame) -> np.ndarray | None:
    """Return the valid (height, width) of each image, int64 (N, 2), or None where all have the same."""
    return table[["height", "width"]].to_numpy(np.int64) if "height" in table else None


def group_indices(table: pd.DataFrame) -> np.ndarray | None:
    """Return the index of each image's group, int64 (N,); an image without one is alone. None without groups."""
    if "group" not in table:
        return None
    alone = "image " + table["id"]
    return compact(table["group"].where(table["group"] != "", alone).to_numpy())


def compact(groups: np.ndarray) -> np.ndarray:
    """Return 0, 1, ... for the distinct values, int64 (N,)."""
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def class_indices(labels: pd.Series, classes: list[str]) -> np.ndarray:
    """Return the index of each label in `classes`, int64 (N,). Raises TouchstoneError on a label that is not there."""
    unknown = sorted(set(labels) - set(classes))
    if unknown:
        raise unknown_label(unknown[0], classes)
    return labels.map({name: i for i, name in enumerate(classes)}).to_numpy(np.int64)


def unknown_label(label: str, classes: list[str]) -> TouchstoneError:
    """Return the error about a label that is none of the classes."""
    return TouchstoneError(f"label {label!r} is none of the classes {', '.join(classes)}; run `dvc repro prepare`")


def load(folder: Path) -> ImageSet:
    """Memory-map an ImageSet. Raises TouchstoneError where it is missing, damaged or inconsistent."""
    file = folder / "images.npy"
    try:
        images = np.load(file, mmap_mode="r", allow_pickle=False)
        images = images if len(images) else np.load(file, allow_pickle=False)  # NumPy cannot map an empty array
        images = _apart(images, read_table(folder)) if images.ndim == 2 else images
    except (OSError, ValueError) as error:
        raise TouchstoneError(
            f"{folder}: no readable image set ({error}); run `dvc repro` or `dvc checkout`"
        ) from error
    table = read_table(folder)
    missing = [name for name in COLUMNS if name not in table]
    if missing or len(images) != len(table):
        raise TouchstoneError(
            f"{folder}: got {len(images)} images and {len(table)} table rows, columns missing: "
            f"{', '.join(missing) or 'none'}; run `dvc checkout` to restore it"
        )
    return ImageSet(images, table)


def _apart(pixels: np.ndarray, table: pd.DataFrame) -> np.ndarray:
    """Tell images that lie one after another, pixels (P, C), apart by the sizes in their table."""
    sizes = valid_sizes(table)
    return cast(np.ndarray, Uneven(pixels, np.zeros((0, 2), np.int64) if sizes is None else sizes))


def read_table(folder: Path) -> pd.DataFrame:
    """Read the table of an ImageSet, all cells as text: a class may be called 01 or NA. Raises TouchstoneError."""
    try:
        return pd.read_csv(folder / "table.csv", dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise TouchstoneError(f"{folder}: no readable table ({error}); run `dvc repro` or `dvc checkout`") from error


def read_files(prepared: Path, split: str) -> list[str]:
    """Read the file names of a split's images, in table order, from `prepared/files.csv`. Raises TouchstoneError."""
    try:
        files = pd.read_csv(prepared / "files.csv", dtype=str, keep_default_na=False)
        return files.loc[files["split"] == split, "file"].tolist()
    except (OSError, ValueError, KeyError) as error:
        raise TouchstoneError(f"{prepared}/files.csv: not readable ({error}); run `dvc repro prepare`") from error


def write(folder: Path, images: ImageSet, *, rows: np.ndarray | None = None) -> None:
    """Write an ImageSet, or the given rows of it, into the empty `folder`. It may be larger than memory."""
    rows = np.arange(len(images)) if rows is None else rows
    table = images.table.iloc[rows].reset_index(drop=True)
    sizes, stored, file = valid_sizes(table), images.images, folder / "images.npy"
    blocks = range(0, len(rows), BLOCK)
    if sizes is None:
        with PixelFile(file, (len(rows), *stored.shape[1:]), stored.dtype) as pixels:
            for start in blocks:
                pixels.write(start, stored[rows[start : start + BLOCK]])
                release(stored)
    else:
        with GrowingFile(file, stored.shape[3], stored.dtype) as growing:
            for start in blocks:
                for image, (height, width) in zip(stored[rows[start : start + BLOCK]], sizes[start:], strict=False):
                    growing.append(image[:height, :width].reshape(height * width, -1))
                release(stored)
    table.to_csv(folder / "table.csv", index=False, lineterminator="\n")


def content_hash(folder: Path) -> str:
    """Return the sha256 of the pixels and the table of an ImageSet on disk."""
    digest = hashlib.sha256()
    for name in ("images.npy", "table.csv"):
        with open(folder / name, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()

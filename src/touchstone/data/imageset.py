"""ImageSet: images and their table, which all stages exchange.

Its folder holds
    images/0000.npy, ...   uint8 or uint16 (N, H, W, C); where sizes differ, pixels (P, C), image after image; where
                           images are stored as they came, bytes (B,). Most sets have one file, see `shards`.
    images/places.npy      where an image lies, int64 (N, 2 or 3), in a set of several files or of bytes
    images/encoding.json   how images are decoded, in a set of bytes
    table.csv              id,label,source_id,origin and, where sizes differ, height,width; row i describes image i
    sheet.png              a contact sheet
"""

import hashlib
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from touchstone.data.lazy_images import LazyImages, StoredImages, as_array, begins, equal_sizes, release, take
from touchstone.data.levels import is_pixels
from touchstone.data.pixel_files import GrowingFile, PixelFile
from touchstone.data.shards import SHARD_BYTES, first_of_shards
from touchstone.errors import TouchstoneError

COLUMNS = ["id", "label", "source_id", "origin"]
IMAGES, PLACES, ENCODING = "images", "places.npy", "encoding.json"
NUMBERED = "[0-9]*.npy"
BLOCK = 64  # images copied at a time: each may map megabytes of the file around it


@dataclass(frozen=True)
class ImageSet:
    """N images and their table."""

    images: np.ndarray
    """uint8 or uint16 (N, H, W, C), an array or `LazyImages`, which behave like one."""
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
        return ImageSet(take(self.images, rows), self.table.iloc[list(rows)].reset_index(drop=True))


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
    """Open an ImageSet without reading its images. Raises TouchstoneError where it is missing, damaged or inconsistent.

    Images that are stored as they came are refused, too, where the code that decodes them has changed.
    """
    table = read_table(folder)
    try:
        images = _open(folder / IMAGES, table)
    except (OSError, ValueError, KeyError, TouchstoneError) as error:
        raise TouchstoneError(
            f"{folder}: no readable image set ({error}); run `dvc repro` or `dvc checkout`"
        ) from error
    missing = [name for name in COLUMNS if name not in table]
    if missing or len(images) != len(table):
        raise TouchstoneError(
            f"{folder}: got {len(images)} images and {len(table)} table rows, columns missing: "
            f"{', '.join(missing) or 'none'}; run `dvc checkout` to restore it"
        )
    return ImageSet(images, table)


def _open(folder: Path, table: pd.DataFrame) -> np.ndarray:
    """Map the files of a set. Raises OSError, ValueError and TouchstoneError where they are not those of the table."""
    files = [_mapped(file) for file in image_files(folder)]
    if not files:
        raise ValueError(f"no images in {folder}")
    sizes = valid_sizes(table)
    if (folder / ENCODING).is_file():
        # Named at run time: the hash of the code that decodes lies in the set's own folder, where it concerns only
        # those who read such a set.
        encoded = importlib.import_module("touchstone.data.encoded")
        how = encoded.decoding(json.loads((folder / ENCODING).read_text(encoding="utf-8")))
        sizes = equal_sizes(len(table), (how.image_size, how.image_size)) if sizes is None else sizes
        return as_array(encoded.EncodedImages(files, sizes, _read_places(folder, table, 3), how, str(folder.parent)))
    if (folder / PLACES).is_file():
        sizes = equal_sizes(len(table), files[0].shape[1:]) if sizes is None else sizes
        return as_array(StoredImages(files, sizes, _read_places(folder, table, 2)))
    if files[0].ndim == 4:
        return files[0]
    return as_array(StoredImages.uneven(files[0], np.zeros((0, 2), np.int64) if sizes is None else sizes))


def image_files(folder: Path) -> list[Path]:
    """Return the files of pixels or bytes of a set, below its folder `images`, in order."""
    return sorted(folder.glob(NUMBERED))


def _mapped(file: Path) -> np.ndarray:
    array = np.load(file, mmap_mode="r", allow_pickle=False)
    return array if len(array) else np.load(file, allow_pickle=False)  # NumPy cannot map an empty array


def _read_places(folder: Path, table: pd.DataFrame, columns: int) -> np.ndarray:
    places = np.load(folder / PLACES, allow_pickle=False)
    if places.shape != (len(table), columns):
        raise ValueError(f"got places {places.shape}, expected {(len(table), columns)}")
    return places


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


def write(
    folder: Path,
    images: ImageSet,
    *,
    rows: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write an ImageSet, or the given rows of it, into the empty `folder`. It may be larger than memory.

    names: of the rows; a set of several files stores its images in the order of these, see `shards`.
    """
    rows = np.arange(len(images)) if rows is None else rows
    table = images.table.iloc[rows].reset_index(drop=True)
    sizes, stored, to = valid_sizes(table), images.images, folder / IMAGES
    to.mkdir()
    lengths = _stored_bytes(stored, rows, sizes)
    order = np.arange(len(rows)) if names is None else np.argsort(np.array(names, object), kind="stable")
    firsts = first_of_shards(table["id"].to_numpy()[order].tolist(), lengths[order], shard_bytes=shard_bytes)
    if len(firsts) == 1:
        order = np.arange(len(rows))
    encoding = stored.encoding if isinstance(stored, LazyImages) else None
    unit = 1 if encoding else stored.shape[3] * stored.dtype.itemsize  # bytes of what places count
    places = np.zeros((len(rows), 3), np.int64)
    for number, chosen in enumerate(np.split(order, firsts[1:])):
        _write_file(to / f"{number:04d}.npy", stored, rows[chosen], None if sizes is None else sizes[chosen])
        counts = lengths[chosen] // unit if encoding or sizes is not None else np.ones(len(chosen), np.int64)
        places[chosen] = np.stack([np.full(len(chosen), number), begins(counts), counts], axis=1)
    if encoding:
        np.save(to / PLACES, places)
        (to / ENCODING).write_text(json.dumps(encoding, indent=2) + "\n", encoding="utf-8")
    elif len(firsts) > 1:
        np.save(to / PLACES, places[:, :2])
    table.to_csv(folder / "table.csv", index=False, lineterminator="\n")


def _stored_bytes(stored: np.ndarray, rows: np.ndarray, sizes: np.ndarray | None) -> np.ndarray:
    """Return the number of bytes that each of these images takes in a file, int64 (N,)."""
    if isinstance(stored, LazyImages) and stored.encoding:
        return np.array([len(stored.content(row)) for row in rows.tolist()], np.int64)
    areas = np.full(len(rows), stored.shape[1] * stored.shape[2]) if sizes is None else sizes.prod(1)
    return areas * stored.shape[3] * stored.dtype.itemsize


def _write_file(file: Path, stored: np.ndarray, rows: np.ndarray, sizes: np.ndarray | None) -> None:
    """Write the given images into one file. sizes: theirs, where they differ in the set."""
    blocks = range(0, len(rows), BLOCK)
    if isinstance(stored, LazyImages) and stored.encoding:
        with GrowingFile(file, np.dtype(np.uint8)) as growing:
            for start in blocks:
                for row in rows[start : start + BLOCK].tolist():
                    growing.append(stored.content(row))
                release(stored)
    elif sizes is None:
        with PixelFile(file, (len(rows), *stored.shape[1:]), stored.dtype) as pixels:
            for start in blocks:
                pixels.write(start, stored[rows[start : start + BLOCK]])
                release(stored)
    else:
        with GrowingFile(file, stored.dtype, stored.shape[3]) as growing:
            for start in blocks:
                for image, (height, width) in zip(stored[rows[start : start + BLOCK]], sizes[start:], strict=False):
                    growing.append(image[:height, :width].reshape(height * width, -1))
                release(stored)


def content_hash(folder: Path) -> str:
    """Return the sha256 of the images and the table of an ImageSet on disk."""
    digest = hashlib.sha256()
    for path in (*sorted((folder / IMAGES).iterdir()), folder / "table.csv"):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()

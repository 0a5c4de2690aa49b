"""Data sources, one file each; `data.source` in params.yaml is the file's name. Files `_<name>.py` are shared.

Each module has two functions, which raise TouchstoneError on bad input:

    download(*, to: Path, path: Path, mirror: str, old: Path | None = None) -> None
        Write the raw data into the empty folder `to`; equal input gives equal bytes. path: the user's own images
        (folder, voc). mirror: a directory or URL to use instead of the official address. old: an earlier download,
        from which files with the right hash may be taken.
    read(raw: Path) -> RawSet
        Open what `download` wrote.

A module whose constant OPTIONS is ("columns",) takes `columns: Columns`, the setting data.columns, as well.
"""

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np

from touchstone.code_hash import constant
from touchstone.data import levels
from touchstone.data.decode import as_channels
from touchstone.data.labels import names
from touchstone.errors import BadImage, TouchstoneError, nearest

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class RawImage:
    """An image of a source, without its pixels."""

    id: str
    """sha256 (hex) of the file's bytes, or of the pixels where there is no file."""
    label: str
    """The class name, or several joined by `|`; "" for an unlabelled image or one that shows none of the classes."""
    split: str
    """One of SPLITS; "" where the source has no official split."""
    file: str
    """A readable posix name, unique within the raw set."""
    difficult: str = ""
    """Classes, joined by `|`, of which all objects in the image are marked as difficult to see."""
    columns: dict[str, str] = field(default_factory=dict)
    """Other cells of the source's own table, such as the patient: column -> cell."""

    @property
    def labels(self) -> list[str]:
        """The classes of the label, then those that are difficult."""
        return names(self.label) + names(self.difficult)


class RawSet(Protocol):
    """The images of a source, decoded on demand."""

    classes: list[str]
    """In the data set's own order; sorted for folders."""
    images: list[RawImage]
    multi_label: bool
    """Whether an image may have several labels, or none."""

    def pixels(self, index: int, *, channels: int | None, max_pixels: int, bits: int = 8) -> np.ndarray:
        """Return `images[index]` as uint8 (H, W, channels). Safe to call from several threads.

        With 16 bits it is uint16 where the image has more than 8. channels: None for the image's own number. Raises
        BadImage where it cannot be decoded, has other channels or more than `max_pixels` pixels.
        """

    def content(self, index: int) -> bytes | None:
        """Return the bytes of the file that `pixels` gives to `decode`, or None where there is none."""


@dataclass(frozen=True)
class ArraySet:
    """A `RawSet` of images in one array."""

    classes: list[str]
    images: list[RawImage]
    array: np.ndarray
    """uint8 or uint16 (N, H, W, C)."""
    multi_label: bool = False

    def pixels(self, index: int, *, channels: int | None, max_pixels: int, bits: int = 8) -> np.ndarray:
        height, width = self.array.shape[1:3]
        if height * width > max_pixels:
            raise BadImage(f"{width}x{height} is more than {max_pixels} pixels")
        pixels = self.array[index]
        return as_channels(pixels if bits > 8 else levels.of_depth(pixels, bits), channels)

    def content(self, index: int) -> None:
        """Return None: the images have no files."""


def file_of(name: str) -> Path:
    """Return the file of the source `name`. Raises TouchstoneError where there is none."""
    sources = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    if name not in sources:
        expected = ", ".join(sources)
        raise TouchstoneError(f"data.source: got {name}, expected one of {expected}{nearest(name, sources)}")
    return FOLDER / f"{name}.py"


def load_source(name: str) -> ModuleType:
    """Return the module of the source `name`. Raises TouchstoneError where it has no file."""
    return importlib.import_module(f"{__name__}.{file_of(name).stem}")


def options_of(name: str) -> tuple[str, ...]:
    """Return the names of the settings that the `download` of the source `name` takes beyond those of all sources."""
    return constant(file_of(name), "OPTIONS") or ()

"""Data sources, one file each: `data.source` in params.yaml is the file's name. `_<name>.py` is what several share.

Each module has

    download(*, to: Path, path: Path, mirror: str, old: Path | None = None) -> None
        Write the raw data into the empty, existing folder `to`; equal input gives equal bytes. `path` is where the
        user's own images lie (folder, voc), `mirror` a directory or URL looked at instead of the official address,
        `old` what an earlier download left: files with the right hash may be taken from there.
    read(*, raw: Path) -> RawSet
        Open what `download` wrote.

Both raise `TouchstoneError` for bad input.
"""

import importlib
import pkgutil
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np

from touchstone.data.decode import as_channels
from touchstone.errors import BadImage, TouchstoneError, nearest


@dataclass(frozen=True)
class RawImage:
    id: str
    """sha256 (hex) of the file's bytes, or of the pixels where there is no file."""
    label: str
    """The class name, or several joined by `|`; "" when unlabelled, or where none of the classes is there."""
    split: str
    """train, val, test or unlabelled; "" where the source has no official split."""
    file: str
    """A name for humans, posix, unique within the raw set."""
    difficult: str = ""
    """Classes, joined by `|`, of which only objects are there that are marked as difficult to see."""

    @property
    def labels(self) -> list[str]:
        """The classes of the label, and those that are difficult."""
        return [name for text in (self.label, self.difficult) for name in text.split("|") if name]


class RawSet(Protocol):
    classes: list[str]
    """In the data set's own order; sorted for folders."""
    images: list[RawImage]
    multi_label: bool
    """Whether an image may have several labels, or none."""

    def pixels(self, index: int, *, channels: int, max_pixels: int) -> np.ndarray:
        """uint8 (H, W, channels) of `images[index]`, from any thread; `BadImage` if that cannot be had."""


@dataclass(frozen=True)
class ArraySet:
    """A `RawSet` whose images lie in one uint8 array (N, H, W, 1 or 3)."""

    classes: list[str]
    images: list[RawImage]
    array: np.ndarray
    multi_label = False

    def pixels(self, index: int, *, channels: int, max_pixels: int) -> np.ndarray:
        height, width = self.array.shape[1:3]
        if height * width > max_pixels:
            raise BadImage(f"{width}x{height} is more than {max_pixels} pixels")
        return as_channels(self.array[index], channels)


def load_source(name: str) -> ModuleType:
    """The module of the source `name`; `TouchstoneError` for a name without a file in this folder."""
    known = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    if name not in known:
        expected = ", ".join(known)
        raise TouchstoneError(f"data.source: got {name}, expected one of {expected}{nearest(name, known)}")
    return importlib.import_module(f"{__name__}.{name}")

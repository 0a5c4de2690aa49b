"""Your own images in PASCAL VOC's layout: several labels an image, official lists of train, val and test (_voc.py)."""

from pathlib import Path

from touchstone.data.sources._packed import PackedSet
from touchstone.data.sources._voc import pack_folder


def download(*, to: Path, path: Path, mirror: str, old: Path | None = None) -> None:
    """Pack the listed images under `path` with their labels; `mirror` and `old` are not used.

    Raises TouchstoneError on what `pack_folder` refuses.
    """
    pack_folder(path, to)


def read(*, raw: Path) -> PackedSet:
    """Open what `download` wrote; an image's id is the sha256 of its file."""
    return PackedSet(raw)

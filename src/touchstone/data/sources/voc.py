"""Your own images in PASCAL VOC's layout (_voc.py): several labels per image, lists of train, val and test."""

from pathlib import Path

from touchstone.data.sources._files import PackedSet
from touchstone.data.sources._voc import pack_folder


def download(*, to: Path, path: Path, mirror: str, old: Path | None = None) -> None:
    """See `pack_folder`; `mirror` and `old` are not used."""
    pack_folder(path, to)


read = PackedSet

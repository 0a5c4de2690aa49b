"""PASCAL VOC's official archives. The parts that classification needs are unpacked for a while."""

import tempfile
from pathlib import Path

from touchstone.data.archives import members
from touchstone.data.fetch import fetch
from touchstone.data.sources._voc import pack_folder
from touchstone.errors import TouchstoneError

ADDRESS = "http://host.robots.ox.ac.uk/pascal/VOC"  # it does not answer https; the files are trusted by their md5
PARTS = ("JPEGImages", "Annotations", "ImageSets/Main")
MAX_FILES, MAX_BYTES = 100_000, 4 << 30  # the largest archive has 40,000 files and 2 GB


def pack_year(year: str, archives: dict[str, str], *, to: Path, mirror: str, rename: dict[str, str]) -> None:
    """Pack a year's images with their labels into the folder `to`.

    archives: an archive's path below ADDRESS -> its md5. mirror: "", a URL that holds the archives, or a directory that
    holds them or the unpacked `VOCdevkit` or `VOC<year>`. rename: see `pack_folder`. Raises TouchstoneError on a wrong
    hash, and on what `pack_folder` and `members` refuse.
    """
    for folder in (Path(mirror) / f"VOCdevkit/VOC{year}", Path(mirror) / f"VOC{year}") if mirror else ():
        if folder.is_dir():
            pack_folder(folder, to, rename=rename)
            return
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}-voc") as scratch:
        for address, md5 in archives.items():
            name = address.rpartition("/")[2]
            archive = Path(scratch) / name
            fetch(name, to=archive, url=f"{ADDRESS}/{address}", mirror=mirror, md5=md5)
            _unpack(archive, Path(scratch) / year, year)
            archive.unlink()
        if not (Path(scratch) / year).is_dir():
            names = ", ".join(archives)
            raise TouchstoneError(f"{names}: no folder VOC{year} in them; get the archives again from {ADDRESS}")
        pack_folder(Path(scratch) / year, to, rename=rename)


def _unpack(archive: Path, to: Path, year: str) -> None:
    for name, content in members(archive, max_files=MAX_FILES, max_bytes=MAX_BYTES):
        _, found, inner = name.partition(f"VOCdevkit/VOC{year}/")
        part, _, file = inner.rpartition("/")
        if found and part in PARTS:
            (to / part).mkdir(parents=True, exist_ok=True)
            (to / part / file).write_bytes(content)

"""PASCAL VOC's official archives, of which the parts that classification needs are unpacked for a while."""

import tempfile
from pathlib import Path

from touchstone.data.archives import members
from touchstone.data.fetch import fetch
from touchstone.data.sources._voc import pack_folder
from touchstone.errors import TouchstoneError

ADDRESS = "http://host.robots.ox.ac.uk/pascal/VOC"  # it answers no https: the md5 is what the files are trusted by
PARTS = ("JPEGImages", "Annotations", "ImageSets/Main")
MAX_FILES, MAX_BYTES = 100_000, 4 << 30  # of an archive; the largest has 40,000 and 2 GB


def pack_year(year: str, archives: dict[str, str], *, to: Path, mirror: str, rename: dict[str, str]) -> None:
    """Pack a year's images with their labels into the folder `to`. archives: a name's path below ADDRESS -> md5.

    `mirror` is "", a URL that holds the archives, or a directory that holds them, or the unpacked `VOCdevkit` or
    `VOC<year>`. rename: see `pack_folder`. Raises TouchstoneError on a wrong hash, and on what `pack_folder` and
    `members` refuse.
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
            raise TouchstoneError(f"{', '.join(archives)}: no VOC{year} in them; get the archives again from {ADDRESS}")
        pack_folder(Path(scratch) / year, to, rename=rename)


def _unpack(archive: Path, to: Path, year: str) -> None:
    for name, content in members(archive, max_files=MAX_FILES, max_bytes=MAX_BYTES):
        _, found, inner = name.partition(f"VOCdevkit/VOC{year}/")
        part, _, file = inner.rpartition("/")
        if found and part in PARTS:
            (to / part).mkdir(parents=True, exist_ok=True)
            (to / part / file).write_bytes(content)

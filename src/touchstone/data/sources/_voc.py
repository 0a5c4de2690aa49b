"""PASCAL VOC's layout, with several labels per image and official lists of train, val and test, and its archives.

    JPEGImages/<id>.jpg                     or another format that is read
    Annotations/<id>.xml                    objects with their names; or, without such a folder,
    ImageSets/Main/<class>_<list>.txt       a line is `<id> 1`, `<id> 0` (only difficult objects) or `<id> -1`
    ImageSets/Main/{train,val,test}.txt     the ids of each split

M. Everingham et al., "The PASCAL visual object classes (VOC) challenge", 2010, doi 10.1007/s11263-009-0275-4.
`source.path` is the folder that holds JPEGImages, or one above it (`VOCdevkit` with one year). Images on no list are
left out; images on the list `trainval` that are in neither train nor val belong to train. The classes are those of the
class lists, or without any those that annotations name.
"""

import re
import tempfile
from functools import partial
from pathlib import Path

from touchstone.data.archives import members
from touchstone.data.fetch import fetch
from touchstone.data.labels import join
from touchstone.data.sources._annotations import things
from touchstone.data.sources._files import Files, class_name, is_image, pack, read_bytes, refusal
from touchstone.data.splits import LABELLED
from touchstone.errors import TouchstoneError, nearest

ADDRESS = "http://host.robots.ox.ac.uk/pascal/VOC"  # it does not answer https; the files are trusted by their md5
PARTS = ("JPEGImages", "Annotations", "ImageSets/Main")
MAX_FILES, MAX_BYTES = 100_000, 4 << 30  # the largest archive has 40,000 files and 2 GB

Labels = tuple[set[str], set[str]]
"""The classes that an image shows, and those of which it shows only difficult objects."""


def pack_year(year: str, archives: dict[str, str], *, to: Path, mirror: str, rename: dict[str, str]) -> None:
    """Pack a year's official images with their labels into the folder `to`.

    archives: path below ADDRESS -> md5. mirror: "", a URL that holds the archives, or a directory that holds them or
    the unpacked `VOCdevkit` or `VOC<year>`. rename: see `pack_folder`. Raises TouchstoneError on a wrong hash, and on
    what `pack_folder` and `members` refuse.
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


def pack_folder(path: Path, to: Path, *, rename: dict[str, str] | None = None) -> None:
    """Pack the listed images under `path` with their labels into the folder `to`.

    rename: official split -> the split it is used as. Raises TouchstoneError on a layout other than this module's, on a
    list that names a missing image, on an image in two splits, and on annotations that are missing, damaged or name an
    unknown class.
    """
    root = _root(path)
    splits = _splits(root)
    images = _images(root, splits)
    classes = _annotated(root, images) if (root / "Annotations").is_dir() else _listed(root, images)
    if not any(shown for shown, _ in classes.values()):
        raise refusal(root, "no image has an object, so nothing can be learned; annotate some")
    serves_as = {split: split for split in LABELLED} | (rename or {})
    labels = {
        images[name].name: (join(sorted(shown)), serves_as[splits[name]], join(sorted(difficult)))
        for name, (shown, difficult) in classes.items()
    }
    files: Files = {file.name: partial(read_bytes, file) for file in images.values()}
    pack(files, to, labels=labels, columns=("label", "split", "difficult"))


def _root(path: Path) -> Path:
    """Return the only folder with JPEGImages: `path` itself, or below it."""
    folders = [path] if (path / "JPEGImages").is_dir() else sorted(f.parent for f in path.glob("**/JPEGImages"))
    if not folders:
        raise refusal(path, "no folder JPEGImages in it or below; put a data set of PASCAL VOC's layout there")
    if len(folders) > 1:
        names = ", ".join(folder.relative_to(path).as_posix() for folder in folders)
        raise refusal(path, f"several data sets ({names}); set source.path to one of them")
    return folders[0]


def _splits(root: Path) -> dict[str, str]:
    """Return id -> split, by the official lists."""
    splits: dict[str, str] = {}
    for split in LABELLED:
        for name in _list(root, split):
            if splits.setdefault(name, split) != split:
                raise _in_two_lists(root, name, splits[name], split)
    for name in _list(root, "trainval"):
        if splits.setdefault(name, "train") == "test":
            raise _in_two_lists(root, name, "test", "trainval")
    if "train" not in splits.values():
        raise refusal(root, "no list ImageSets/Main/train.txt or trainval.txt with an id in it; add one")
    return splits


def _in_two_lists(root: Path, name: str, one: str, other: str) -> TouchstoneError:
    return refusal(root, f"ImageSets/Main: {name} is listed in {one} and in {other}; remove it from one of them")


def _list(root: Path, name: str) -> list[str]:
    """Return the ids of a list, [] if it does not exist."""
    file = root / f"ImageSets/Main/{name}.txt"
    return _text(file).split() if file.is_file() else []


def _images(root: Path, splits: dict[str, str]) -> dict[str, Path]:
    """Return id -> image file."""
    files: dict[str, Path] = {}
    for file in sorted((root / "JPEGImages").iterdir()):
        if is_image(file.name) and files.setdefault(file.stem, file) != file:
            raise refusal(root, f"JPEGImages has {files[file.stem].name} and {file.name} for one id; remove one")
    missing = [name for name in splits if name not in files]
    if missing:
        more = f" ({len(missing)} such ids)" if len(missing) > 1 else ""
        raise refusal(
            root,
            f"the list {splits[missing[0]]} names {missing[0]}, which is not in JPEGImages{more}; correct the list",
        )
    return {name: files[name] for name in splits}


def _class_lists(root: Path) -> dict[str, list[Path]]:
    """Return class -> its lists of train, val, trainval or test."""
    lists: dict[str, list[Path]] = {}
    for file in sorted((root / "ImageSets/Main").glob("*_*.txt")):
        match = re.fullmatch(r"(.+)_(train|val|trainval|test)", file.stem)
        lines = (line.split() for line in _text(file).splitlines()) if match else ()
        if match and any(len(cells) > 1 for cells in lines):  # lines of one cell are a user's own list of ids
            lists.setdefault(class_name(match[1], where=str(file)), []).append(file)
    return lists


def _annotated(root: Path, images: dict[str, Path]) -> dict[str, Labels]:
    classes = list(_class_lists(root))
    labels: dict[str, Labels] = {}
    for name in images:
        file = root / f"Annotations/{name}.xml"
        if not file.is_file():
            raise refusal(root, f"Annotations/{name}.xml: no such file, but the lists name {name}; add it")
        shown, difficult = set[str](), set[str]()
        for thing in things(read_bytes(file), file=str(file)):
            label = class_name(thing.name, where=str(file))
            if classes and label not in classes:
                expected = f"{', '.join(classes)}{nearest(label, classes)}"
                raise TouchstoneError(f"{file}: unknown class {label!r}, expected one of {expected}")
            (difficult if thing.difficult else shown).add(label)
        labels[name] = shown, difficult - shown
    return labels


def _listed(root: Path, images: dict[str, Path]) -> dict[str, Labels]:
    lists = _class_lists(root)
    if not lists:
        raise refusal(root, "neither Annotations nor ImageSets/Main/<class>_<list>.txt, so no labels; add either")
    labels: dict[str, Labels] = {name: (set(), set()) for name in images}
    for label, files in lists.items():
        marks = _marks(files)
        for name in labels:
            if name not in marks:
                raise refusal(root, f"ImageSets/Main: no list of class {label} names {name}, which a split has; add it")
            if marks[name] != "-1":
                labels[name][int(marks[name] == "0")].add(label)
    return labels


def _marks(files: list[Path]) -> dict[str, str]:
    """Return id -> 1, 0 or -1, from the lists of a class."""
    marks: dict[str, str] = {}
    for file in files:
        for number, line in enumerate(_text(file).splitlines(), 1):
            cells, where = line.split(), f"{file}, line {number}"
            if cells and (len(cells) != 2 or cells[1] not in ("1", "0", "-1")):
                raise TouchstoneError(f"{where}: got {line!r}, expected an id and 1, 0 or -1; correct the line")
            if cells and marks.setdefault(cells[0], cells[1]) != cells[1]:
                earlier = marks[cells[0]]
                raise TouchstoneError(
                    f"{where}: {cells[0]} has {cells[1]}, and {earlier} before; remove one of the two"
                )
    return marks


def _text(file: Path) -> str:
    try:
        return read_bytes(file).decode("utf-8-sig")  # some editors begin a file with a byte-order mark
    except UnicodeDecodeError as error:
        raise TouchstoneError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from error

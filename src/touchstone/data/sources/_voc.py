"""PASCAL VOC's layout: several labels an image, official lists of train, val and test.

    JPEGImages/<id>.jpg                     (or another format that is read)
    Annotations/<id>.xml                    objects with their names, or, without such a folder,
    ImageSets/Main/<class>_<list>.txt       `<id> 1`, `<id> 0` (difficult ones alone) or `<id> -1` a line
    ImageSets/Main/{train,val,test}.txt     the ids of each split

M. Everingham et al., "The PASCAL visual object classes (VOC) challenge", 2010, doi 10.1007/s11263-009-0275-4.
`data.path` is the folder that holds JPEGImages, or one above it (`VOCdevkit`, with one year in it). Images on no list
are left out; what a list `trainval` has beyond train and val is train. Where there are class lists, their classes are
those that are known; otherwise those that annotations name.
"""

import re
from functools import partial
from pathlib import Path

from touchstone.data.decode import image_suffixes
from touchstone.data.sources._annotations import things
from touchstone.data.sources._names import class_name
from touchstone.data.sources._packed import pack
from touchstone.errors import TouchstoneError, nearest

SPLITS = ("train", "val", "test")
Labels = tuple[set[str], set[str]]  # classes that are there, and those of which only difficult objects are


def pack_folder(path: Path, to: Path, *, rename: dict[str, str] | None = None) -> None:
    """Pack the listed images under `path` with their labels into the folder `to`.

    rename: official split -> the one that it serves as. Raises TouchstoneError on a layout other than this module's, on
    a list that names a missing image or an image twice in two splits, and on annotations that are missing, damaged or
    name an unknown class.
    """
    root = _root(path)
    splits = _splits(root)
    images = _images(root, splits)
    found = _annotated(root, images) if (root / "Annotations").is_dir() else _listed(root, images)
    served = {split: (rename or {}).get(split, split) for split in SPLITS}
    labels = {
        images[name].name: ("|".join(sorted(there)), served[splits[name]], "|".join(sorted(difficult)))
        for name, (there, difficult) in found.items()
    }
    if not any(there for there, _ in found.values()):
        raise _bad(root, "no image has an object; nothing can be learned from it")
    files = {file.name: partial(_bytes, file) for file in images.values()}
    pack(files, to, labels=labels, columns=("label", "split", "difficult"))


def _root(path: Path) -> Path:
    """The folder that holds JPEGImages: `path`, or the only one below it."""
    found = [path] if (path / "JPEGImages").is_dir() else sorted(f.parent for f in path.glob("**/JPEGImages"))
    if not found:
        raise _bad(path, "no folder JPEGImages in it or below; put a data set of PASCAL VOC's layout there")
    if len(found) > 1:
        names = ", ".join(folder.relative_to(path).as_posix() for folder in found)
        raise _bad(path, f"several data sets ({names}); set data.path to one of them")
    return found[0]


def _splits(root: Path) -> dict[str, str]:
    """id -> its split, by the official lists."""
    splits: dict[str, str] = {}
    for split in SPLITS:
        for name in _list(root, split):
            if splits.setdefault(name, split) != split:
                raise _bad(root, f"ImageSets/Main: {name} is listed in {splits[name]} and in {split}; it can be in one")
    for name in _list(root, "trainval"):
        if splits.setdefault(name, "train") == "test":
            raise _bad(root, f"ImageSets/Main: {name} is listed in test and in trainval; it can be in one")
    if "train" not in splits.values():
        raise _bad(root, "no list ImageSets/Main/train.txt or trainval.txt with an id in it")
    return splits


def _list(root: Path, name: str) -> list[str]:
    """The ids of a list, [] where there is none."""
    file = root / f"ImageSets/Main/{name}.txt"
    return _text(file).split() if file.is_file() else []


def _images(root: Path, splits: dict[str, str]) -> dict[str, Path]:
    """id -> its image file."""
    there: dict[str, Path] = {}
    for file in sorted((root / "JPEGImages").iterdir()):
        if file.suffix.lower() in image_suffixes() and there.setdefault(file.stem, file) != file:
            raise _bad(root, f"JPEGImages has {there[file.stem].name} and {file.name}: an id is of one image")
    missing = [name for name in splits if name not in there]
    if missing:
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise _bad(root, f"the list {splits[missing[0]]} names {missing[0]}, which is not in JPEGImages{more}")
    return {name: there[name] for name in splits}


def _class_lists(root: Path) -> dict[str, list[Path]]:
    """Class -> its lists of train, val, trainval or test."""
    found: dict[str, list[Path]] = {}
    for file in sorted((root / "ImageSets/Main").glob("*_*.txt")):
        match = re.fullmatch(r"(.+)_(train|val|trainval|test)", file.stem)
        lines = (line.split() for line in _text(file).splitlines()) if match else ()
        if match and any(len(cells) > 1 for cells in lines):  # others are lists of ids, of a user's own
            found.setdefault(class_name(match[1], where=str(file)), []).append(file)
    return found


def _annotated(root: Path, images: dict[str, Path]) -> dict[str, Labels]:
    known = _class_lists(root)
    labels: dict[str, Labels] = {}
    for name in images:
        file = root / f"Annotations/{name}.xml"
        if not file.is_file():
            raise _bad(root, f"Annotations/{name}.xml: no such file, but the lists name {name}")
        objects = things(_bytes(file), file=str(file))
        named = {thing.name: _known_class(thing.name, str(file), known) for thing in objects}
        there = {named[thing.name] for thing in objects if not thing.difficult}
        labels[name] = there, set(named.values()) - there
    return labels


def _listed(root: Path, images: dict[str, Path]) -> dict[str, Labels]:
    lists = _class_lists(root)
    if not lists:
        raise _bad(root, "neither Annotations nor ImageSets/Main/<class>_<list>.txt: no labels")
    labels: dict[str, Labels] = {name: (set(), set()) for name in images}
    for label, files in lists.items():
        marks = _marks(files)
        for name in labels:
            if name not in marks:
                raise _bad(root, f"ImageSets/Main: no list of class {label} names {name}, which a split has")
            if marks[name] != "-1":
                labels[name][int(marks[name] == "0")].add(label)
    return labels


def _marks(files: list[Path]) -> dict[str, str]:
    """id -> 1, 0 or -1, of a class's lists."""
    marks: dict[str, str] = {}
    for file in files:
        for number, line in enumerate(_text(file).splitlines(), 1):
            cells = line.split()
            if cells and (len(cells) != 2 or cells[1] not in ("1", "0", "-1")):
                raise TouchstoneError(f"{file}, line {number}: got {line!r}, expected an id and 1, 0 or -1")
            if cells and marks.setdefault(cells[0], cells[1]) != cells[1]:
                raise TouchstoneError(f"{file}, line {number}: {cells[0]} has {cells[1]}, and {marks[cells[0]]} before")
    return marks


def _known_class(label: str, file: str, known: dict[str, list[Path]]) -> str:
    label = class_name(label, where=file)
    if known and label not in known:
        raise TouchstoneError(
            f"{file}: unknown class {label!r}, expected one of {', '.join(known)}{nearest(label, list(known))}"
        )
    return label


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise TouchstoneError(f"{file}: cannot be read ({error.strerror}); change its permissions") from error


def _text(file: Path) -> str:
    try:
        return _bytes(file).decode("utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        raise TouchstoneError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from error


def _bad(root: Path, text: str) -> TouchstoneError:
    return TouchstoneError(f"data.path: {root}: {text}")

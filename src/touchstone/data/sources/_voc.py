"""PASCAL VOC's layout, with several labels per image and official lists of train, val and test, and its archives.

    JPEGImages/<id>.jpg                     or another format that is read
    Annotations/<id>.xml                    objects with their names; or, without such a folder,
    ImageSets/Main/<class>_<list>.txt       a line is `<id> 1`, `<id> 0` (only difficult objects) or `<id> -1`
    ImageSets/Main/{train,val,test}.txt     the ids of each split, also under names such as valid.txt (_roles.py)

M. Everingham et al., "The PASCAL visual object classes (VOC) challenge", 2010, doi 10.1007/s11263-009-0275-4.
`source.path` is the folder that holds JPEGImages, or one above it (`VOCdevkit` with one year), or an archive of either.
A list may also give file names, paths or a mark behind each id, and ids may have blanks. Images on no list are counted
and left out; images on the list `trainval` that are in neither train nor val belong to train. The classes are those of
the class lists, or without any those that annotations name.
"""

import re
import tempfile
import unicodedata
from pathlib import Path, PurePosixPath

from touchstone.data.archives import members
from touchstone.data.fetch import fetch
from touchstone.data.hidden import Aside
from touchstone.data.labels import join
from touchstone.data.recognise import has_image_suffix, recognised
from touchstone.data.sources._annotations import things
from touchstone.data.sources._files import Files, class_name, find, pack, refusal
from touchstone.data.sources._roles import SPLIT_OF
from touchstone.data.sources._structure import twins
from touchstone.data.sources._told import tell, unlisted
from touchstone.data.splits import LABELLED
from touchstone.errors import TouchstoneError, nearest

ADDRESS = "http://host.robots.ox.ac.uk/pascal/VOC"  # it does not answer https; the files are trusted by their md5
PARTS = ("JPEGImages", "Annotations", "ImageSets/Main")
TRAINVAL = "trainval"
# The words for splits in names of lists: `train.txt` for ids, `dog_train.txt` for a class.
LISTS = {word: split for word, split in SPLIT_OF.items() if split in LABELLED}
CLASS_LIST = re.compile(rf"(.+)_({'|'.join((*LISTS, TRAINVAL))})\.txt")
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
            pack_folder(folder, to, rename=rename, official=True)
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
        pack_folder(Path(scratch) / year, to, rename=rename, official=True)


def _unpack(archive: Path, to: Path, year: str) -> None:
    for name, content in members(archive, max_files=MAX_FILES, max_bytes=MAX_BYTES):
        _, found, inner = name.partition(f"VOCdevkit/VOC{year}/")
        part, _, file = inner.rpartition("/")
        if found and part in PARTS:
            (to / part).mkdir(parents=True, exist_ok=True)
            (to / part / file).write_bytes(content)


def pack_folder(path: Path, to: Path, *, rename: dict[str, str] | None = None, official: bool = False) -> None:
    """Pack the listed images under `path`, a folder or an archive, with their labels into the folder `to`.

    rename: official split -> the split it is used as. official: whether images on no list are of other tasks, which
    need no mention. Raises TouchstoneError on a layout other than this module's, on two lists of one split, on a list
    that names a missing image, on an image in two splits, and on annotations that are missing, damaged or name an
    unknown class.
    """
    aside = Aside()
    with tempfile.TemporaryFile(dir=to) as spool:
        files, folders = find(path, to, spool, keep=lambda name: any(f"{part}/" in name for part in PARTS), aside=aside)
        root = _Root(path, files, folders)
        names, lists = _image_names(root), _split_lists(root)
        splits = _splits(root, names, lists)
        images = _images(root, names, splits, lists)
        classes = _annotated(root, images) if root.has("Annotations") else _listed(root, images)
        if not any(shown for shown, _ in classes.values()):
            raise refusal(root.path, "no image has an object, so nothing can be learned; annotate some")
        if len(alike := {join(sorted(shown | difficult)) for shown, difficult in classes.values()}) == 1:
            raise refusal(root.path, f"every image is {alike.pop()}, so there is nothing to learn; add other images")
        serves_as = {split: split for split in LABELLED} | (rename or {})
        labels = {
            images[name]: (join(sorted(shown)), serves_as[splits[name]], join(sorted(difficult)))
            for name, (shown, difficult) in classes.items()
        }
        notes = twins(set().union(*(a | b for a, b in classes.values())))
        left_out = () if official else unlisted(set(names) - labels.keys(), "images that no list names")
        tell(path, to, notes=notes, left_out=left_out, aside=aside)
        read = {file: root.files[f"JPEGImages/{file}"] for file in images.values()}
        pack(read, to, labels=labels, columns=("label", "split", "difficult"))


class _Root:
    """The only folder with JPEGImages below a path: the path itself, or below it."""

    def __init__(self, path: Path, files: Files, folders: set[str]) -> None:
        found = sorted(name.removesuffix("JPEGImages") for name in folders if f"/{name}".endswith("/JPEGImages"))
        if not found:
            raise refusal(path, "no folder JPEGImages in it or below; put a data set of PASCAL VOC's layout there")
        if "" not in found and len(found) > 1:
            names = ", ".join(folder.removesuffix("/") for folder in found)
            raise refusal(path, f"several data sets ({names}); set source.path to one of them")
        inner = found[0]
        self.path = path / inner if inner else path
        self.files: Files = {name.removeprefix(inner): read for name, read in files.items() if name.startswith(inner)}
        self._folders = {name.removeprefix(inner) for name in folders if name.startswith(inner)}

    def has(self, folder: str) -> bool:
        """Return whether the folder exists."""
        return folder in self._folders

    def names(self, folder: str) -> list[str]:
        """Return the names of the files directly in a folder, sorted."""
        return sorted(name.removeprefix(f"{folder}/") for name in self.files if name.rpartition("/")[0] == folder)

    def text(self, name: str) -> str:
        """Return the text of a file, "" where it does not exist."""
        if name not in self.files:
            return ""
        try:
            return self.files[name]().decode("utf-8-sig")  # some editors begin a file with a byte-order mark
        except UnicodeDecodeError as error:
            raise TouchstoneError(f"{self.path / name}: not UTF-8 at byte {error.start}; save it as UTF-8") from error


def _split_lists(root: _Root) -> dict[str, str]:
    """Return split -> the name of its list of ids, without .txt: `valid` for val, say."""
    lists: dict[str, str] = {}
    for file in root.names("ImageSets/Main"):
        name = file.removesuffix(".txt")
        split = LISTS.get(name.lower()) if name != file else None
        if split and lists.setdefault(split, name) != name:
            raise refusal(
                root.path,
                f"ImageSets/Main: {lists[split]}.txt and {file} are both taken as {split}; remove one of them",
            )
    return lists


def _splits(root: _Root, names: list[str], lists: dict[str, str]) -> dict[str, str]:
    """Return id -> split, by the lists of `_split_lists` and by trainval.txt. names: of the images in JPEGImages."""
    splits: dict[str, str] = {}
    known = {PurePosixPath(file).stem for file in names}
    for split in filter(lists.get, LABELLED):
        for name in _list(root, lists[split], known):
            if splits.setdefault(name, split) != split:
                raise _in_two_lists(root, name, lists[splits[name]], lists[split])
    for name in _list(root, TRAINVAL, known):
        if splits.setdefault(name, "train") == "test":
            raise _in_two_lists(root, name, lists["test"], TRAINVAL)
    if "train" not in splits.values():
        raise refusal(root.path, "no list ImageSets/Main/train.txt or trainval.txt with an id in it; add one")
    return splits


def _in_two_lists(root: _Root, name: str, one: str, other: str) -> TouchstoneError:
    return refusal(root.path, f"ImageSets/Main: {name} is listed in {one} and in {other}; remove it from one of them")


def _list(root: _Root, name: str, known: set[str]) -> list[str]:
    """Return the ids of a list, [] if it does not exist. known: the ids of the images."""
    file = f"ImageSets/Main/{name}.txt"
    ids = []
    for number, line in enumerate(root.text(file).splitlines(), 1):
        ids += _ids(line.strip(), known, where=f"{root.path / file}, line {number}")
    return ids


def _ids(line: str, known: set[str], *, where: str) -> list[str]:
    """Return the ids in a line: as a rule one, perhaps a file name or a path, perhaps with a mark behind it."""
    whole = unicodedata.normalize("NFC", line)
    if (name := _id(whole, known)) in known:
        return [name]
    head, _, mark = whole.rpartition(" ")
    if (name := _id(head.strip(), known)) in known and re.fullmatch("-?[0-9]+", mark) and mark not in known:
        if mark in ("0", "-1"):
            raise TouchstoneError(
                f"{where}: got the mark {mark} behind {name}; a list of a split has no marks, and those of "
                "a class are called <class>_<list>.txt; remove the line, or the mark"
            )
        return [name]
    return [_id(word, known) for word in whole.split()]


def _id(text: str, known: set[str]) -> str:
    """Return the id that a text names: itself, or the stem of a file name or path."""
    file = text.replace("\\", "/").rpartition("/")[2]
    if text in known or not has_image_suffix(file):
        return file if file in known else text
    return PurePosixPath(file).stem


def _images(root: _Root, names: list[str], splits: dict[str, str], lists: dict[str, str]) -> dict[str, str]:
    """Return id -> image file. names: of the images in JPEGImages."""
    files: dict[str, str] = {}
    for file in names:
        stem = PurePosixPath(file).stem
        if files.setdefault(stem, file) != file:
            raise refusal(root.path, f"JPEGImages has {files[stem]} and {file} for one id; remove one")
    missing = [name for name in splits if name not in files]
    if missing:
        more = f" ({len(missing)} such ids)" if len(missing) > 1 else ""
        listed = lists.get(splits[missing[0]], TRAINVAL)
        raise refusal(
            root.path,
            f"the list {listed} names {missing[0]}, which is not in JPEGImages{more}; correct the list",
        )
    return {name: files[name] for name in splits}


def _image_names(root: _Root) -> list[str]:
    """Return the names of the images in JPEGImages, by their suffix or, where that says nothing, by their content."""
    names = root.names("JPEGImages")
    by_content = set(recognised({name: root.files[f"JPEGImages/{name}"] for name in names}, (), anywhere=True))
    return [name for name in names if has_image_suffix(name) or name in by_content]


def _class_lists(root: _Root) -> dict[str, list[str]]:
    """Return class -> its lists of train, val, trainval or test, by any word for these."""
    lists: dict[str, list[str]] = {}
    for name in root.names("ImageSets/Main"):
        file = f"ImageSets/Main/{name}"
        match = CLASS_LIST.fullmatch(name)
        lines = (line.split() for line in root.text(file).splitlines()) if match else ()
        if match and any(len(cells) > 1 for cells in lines):  # lines of one cell are a user's own list of ids
            lists.setdefault(class_name(match[1], where=str(root.path / file)), []).append(file)
    return lists


def _annotated(root: _Root, images: dict[str, str]) -> dict[str, Labels]:
    classes = list(_class_lists(root))
    annotations = {
        name[:-4]: f"Annotations/{name}" for name in root.names("Annotations") if name[-4:].lower() == ".xml"
    }
    labels: dict[str, Labels] = {}
    for name in images:
        if name not in annotations:
            raise refusal(root.path, f"Annotations/{name}.xml: no such file, but the lists name {name}; add it")
        file = root.path / annotations[name]
        shown, difficult = set[str](), set[str]()
        for thing in things(root.files[annotations[name]](), file=str(file)):
            label = class_name(thing.name, where=str(file))
            if classes and label not in classes:
                expected = f"{', '.join(classes)}{nearest(label, classes)}"
                raise TouchstoneError(f"{file}: unknown class {label!r}, expected one of {expected}")
            (difficult if thing.difficult else shown).add(label)
        labels[name] = shown, difficult - shown
    return labels


def _listed(root: _Root, images: dict[str, str]) -> dict[str, Labels]:
    lists = _class_lists(root)
    if not lists:
        reason = "neither Annotations nor ImageSets/Main/<class>_<list>.txt, so no labels; add either"
        raise refusal(root.path, reason)
    labels: dict[str, Labels] = {name: (set(), set()) for name in images}
    for label, files in lists.items():
        marks = _marks(root, files)
        for name in labels:
            if name not in marks:
                raise refusal(
                    root.path, f"ImageSets/Main: no list of class {label} names {name}, which a split has; add it"
                )
            if marks[name] != "-1":
                labels[name][int(marks[name] == "0")].add(label)
    return labels


def _marks(root: _Root, files: list[str]) -> dict[str, str]:
    """Return id -> 1, 0 or -1, from the lists of a class."""
    marks: dict[str, str] = {}
    for file in files:
        for number, line in enumerate(root.text(file).splitlines(), 1):
            cells, where = line.rsplit(maxsplit=1), f"{root.path / file}, line {number}"
            if cells and (len(cells) != 2 or cells[1] not in ("1", "0", "-1")):
                raise TouchstoneError(f"{where}: got {line!r}, expected an id and 1, 0 or -1; correct the line")
            name = unicodedata.normalize("NFC", cells[0].strip()) if cells else ""
            if cells and marks.setdefault(name, cells[1]) != cells[1]:
                raise TouchstoneError(
                    f"{where}: {name} has {cells[1]}, and {marks[name]} before; remove one of the two"
                )
    return marks

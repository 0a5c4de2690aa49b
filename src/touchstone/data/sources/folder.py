"""Your own images: a folder, or a .zip or .tar archive of one.

    <class>/*                         no official split; deeper folders inside a class are fine
    train|val|test/<class>/*          the split is given
    unlabelled/**                     beside either: images without a class
    labels.csv                        instead of class folders: file,label or file,label,split, several classes of an
                                      image joined by |; images lie beside it or deeper, in unlabelled/ without a row

A single top folder around all this is looked through. Class names are the folders' names in NFC, sorted. Files that
Pillow does not read, by their suffix, are listed and left out; hidden files are left out silently.
"""

import os
import shutil
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from touchstone.data.archives import hidden, is_archive, members
from touchstone.data.decode import image_suffixes
from touchstone.data.sources._label_table import NAME, parse
from touchstone.data.sources._packed import PackedSet, pack
from touchstone.errors import TouchstoneError

SPLITS = ("train", "val", "test")
UNLABELLED = "unlabelled"
# Of an archive; its bytes never more than half of the free disk either, which holds them twice for a while.
MAX_FILES = 2_000_000
MAX_BYTES = 200 << 30

T = TypeVar("T")
Contents = dict[str, Callable[[], bytes]]  # a file's posix name relative to the root -> what reads it


def download(*, to: Path, path: Path, mirror: str, old: Path | None = None) -> None:
    """Pack the images under `path` into `files.zip`, with `manifest.csv` (file, label, split, sha256, bytes).

    Both depend on names and contents only: a folder and an archive of it give the same bytes. `mirror` is not
    used. Raises `TouchstoneError` for a layout other than this module's, for links, and for what `members` refuses.
    """
    with tempfile.TemporaryFile(dir=to) as spool:
        contents, folders = _find(path, to, spool)
        contents = _normalised(contents, path)
        folders = set(_normalised(dict.fromkeys(folders), path))
        images = _only_images(contents, path)
        root = _wrapper(images, folders, contents)
        images = {name.removeprefix(root): read for name, read in images.items()}
        folders = {name.removeprefix(root) for name in folders if name + "/" != root}
        if root + NAME in contents:
            labels = _listed(contents[root + NAME](), images, path)
        else:
            _check_layout(images, folders, path)
            labels = {name: _label(name, splits=_is_split(folders)) for name in images}
        images = {name: images[name] for name in labels}
        pack(images, to, labels=labels, columns=("label", "split"))


def read(*, raw: Path) -> PackedSet:
    """Open what `download` wrote; an image's id is the sha256 of its file."""
    return PackedSet(raw)


# --- what lies there ---


def _find(path: Path, to: Path, spool: BinaryIO) -> tuple[Contents, set[str]]:
    """All visible files under `path`, and all folders; an archive's images are put into `spool`, to be sorted later."""
    if path.is_dir():
        return _find_in_directory(path)
    if not path.exists():
        raise _bad(path, "does not exist; put a folder or an archive of images there, or set data.path")
    if not path.is_file() or not is_archive(path):
        raise _bad(path, "got a file, expected a folder or a .zip or .tar(.gz|.bz2|.xz) archive; set data.path to one")
    return _find_in_archive(path, to, spool)


def _find_in_directory(path: Path) -> tuple[Contents, set[str]]:
    contents: Contents = {}
    folders = set()
    for entry in _walk(path, path):
        name = entry.relative_to(path).as_posix()
        if entry.is_symlink():
            raise _bad(path, f"{name} is a symbolic link, expected a file or folder; put the file itself there")
        if entry.is_dir():
            folders.add(name)
        elif entry.is_file():
            contents[name] = partial(_read_file, entry)
        else:
            raise _bad(path, f"{name} is neither a file nor a folder; remove it")
    return contents, folders


def _walk(folder: Path, path: Path) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise _bad(path, f"{folder} cannot be read ({error.strerror}); change its permissions") from error
    for entry in entries:
        if not hidden(entry.name):
            yield entry
            if entry.is_dir() and not entry.is_symlink():
                yield from _walk(entry, path)


def _read_file(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise TouchstoneError(f"{file}: cannot be read ({error.strerror}); change its permissions") from error


def _find_in_archive(path: Path, to: Path, spool: BinaryIO) -> tuple[Contents, set[str]]:
    contents: Contents = {}
    max_bytes = min(MAX_BYTES, shutil.disk_usage(to).free // 2)
    for name, content in members(path, max_files=MAX_FILES, max_bytes=max_bytes):
        contents[name] = partial(_read_slice, spool, spool.tell(), len(content))
        if _is_image(name) or name.rpartition("/")[2] == NAME:
            spool.write(content)
    return contents, {str(parent) for name in contents for parent in _parents(name)}


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _read_slice(spool: BinaryIO, offset: int, size: int) -> bytes:
    spool.seek(offset)
    return spool.read(size)


def _normalised(named: dict[str, T], path: Path) -> dict[str, T]:
    """The same under names in NFC: macOS and Linux may spell one name in two ways."""
    out: dict[str, T] = {}
    for name, value in named.items():
        if any(unicodedata.category(char) in ("Cc", "Cs") for char in name):
            raise _bad(path, f"the name {name!r} holds a control character or is not UTF-8; rename it")
        normal = unicodedata.normalize("NFC", name)
        if normal in out:
            raise _bad(path, f"two names are {normal} once normalised to NFC; rename one of them")
        out[normal] = value
    return out


def _only_images(contents: Contents, path: Path) -> Contents:
    """The files that Pillow reads, by suffix; the others are said in one printed line, except DVC's own."""
    left_out = sorted(name for name in contents if not _is_image(name) and not name.endswith((".dvc", NAME)))
    if left_out:
        more = ", ..." if len(left_out) > 3 else ""
        print(f"{path}: left out {len(left_out)} that are not images: {', '.join(left_out[:3])}{more}")
    return {name: read_content for name, read_content in contents.items() if _is_image(name)}


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in image_suffixes()


# --- the layout ---


def _wrapper(images: Iterable[str], folders: set[str], contents: Contents) -> str:
    """`top/` if one folder holds everything and, in turn, folders or a table of labels; else ""."""
    if NAME in contents:
        return ""
    tops = {name.split("/")[0] for name in (*images, *folders)}
    top = tops.pop() if len(tops) == 1 else ""
    inside = f"{top}/{NAME}" in contents or any(name.startswith(top + "/") for name in folders)
    wraps = top not in (*SPLITS, UNLABELLED) and inside
    return f"{top}/" if top and wraps else ""


def _is_split(folders: set[str]) -> bool:
    return any(split in folders for split in SPLITS)


def _label(name: str, *, splits: bool) -> tuple[str, str]:
    """(label, split) of a file or class folder."""
    top, _, rest = name.partition("/")
    if top == UNLABELLED:
        return "", UNLABELLED
    return (rest.split("/")[0], top) if splits else (top, "")


def _listed(content: bytes, images: Contents, path: Path) -> dict[str, tuple[str, str]]:
    """(label, split) of each image that the table lists, or that is unlabelled; others are said in a printed line.

    Where the table gives an image no split, a folder of a split's name does.
    """
    labels = parse(content, images, file=f"data.path: {path}: {NAME}")
    for name, (label, split) in labels.items():
        top = name.partition("/")[0] if "/" in name else ""
        if not split and top in (*SPLITS, UNLABELLED):
            labels[name] = label, top
            if label and top == UNLABELLED:
                raise _bad(
                    path, f"{NAME}: {name} lies in {UNLABELLED} and has the label {label!r}; move it or take it out"
                )
    labels |= {name: ("", UNLABELLED) for name in images if name not in labels and name.startswith(f"{UNLABELLED}/")}
    left_out = sorted(images.keys() - labels.keys())
    if left_out:
        more = ", ..." if len(left_out) > 3 else ""
        print(f"{path}: left out {len(left_out)} images that {NAME} does not list: {', '.join(left_out[:3])}{more}")
    classes = {name for label, _ in labels.values() for name in label.split("|") if name}
    if len(classes) < 2 and all(label in classes for label, split in labels.values() if split != UNLABELLED):
        raise _bad(path, f"{NAME}: every image is {classes.pop()}; nothing can be told apart: add other images")
    return labels


def _check_layout(images: Iterable[str], folders: set[str], path: Path) -> None:
    splits = _is_split(folders)
    _check_tops(images, folders, path, splits=splits)
    depth = 1 if splits else 0  # of the slashes in a class folder's name
    class_folders = {name for name in folders if name.count("/") == depth and name.split("/")[0] != UNLABELLED}
    counts = Counter(_label(name, splits=splits) for name in images)  # (label, split) -> images
    for name in sorted(class_folders):
        label, split = _label(name, splits=splits)
        _check_class_name(label, path)
        if not counts[label, split]:
            raise _bad(path, f"the class folder {name} has no images; remove it or put images in it")
        if not splits and counts[label, split] < 2:
            raise _bad(path, f"class {label} has 1 image; at least 2 are needed: add some, or remove the class")
    _check_classes(counts, path, splits=splits)


def _check_tops(images: Iterable[str], folders: set[str], path: Path, *, splits: bool) -> None:
    """What lies directly under the root, and directly under a split's folder."""
    expected = "expected <class>/<image>" + (" under each of train, val, test" if splits else "")
    tops = sorted(name for name in folders if "/" not in name)
    depth = 2 if splits else 1  # of the slashes that an image's name needs
    for name in images:
        if name.count("/") < depth and not name.startswith(f"{UNLABELLED}/"):
            raise _bad(path, f"the image {name} is not in a class folder; {expected}: move it into one")
    if not set(tops) - {UNLABELLED}:
        raise _bad(path, f"no class folder; {expected}, at least two classes")
    for top in tops:
        if splits and top not in (*SPLITS, UNLABELLED):
            allowed = ", ".join((*SPLITS, UNLABELLED))
            raise _bad(path, f"got the folder {top} beside a split's, expected only {allowed}; move or rename it")
        if top in (*SPLITS, UNLABELLED) and not any(name.startswith(f"{top}/") for name in images):
            raise _bad(path, f"the folder {top} has no images; remove the folder or put images in it")
    if splits and "train" not in tops:
        raise _bad(path, f"got the folder {', '.join(tops)} without train; add train/<class>/")


def _check_class_name(label: str, path: Path) -> None:
    if "|" in label or label != label.strip():
        raise _bad(path, f"the class name {label!r} holds | or begins or ends with a blank; rename the folder")


def _check_classes(counts: Counter[tuple[str, str]], path: Path, *, splits: bool) -> None:
    learnt = {label for label, split in counts if split == ("train" if splits else "")}
    if len(learnt) < 2:
        raise _bad(path, f"got {len(learnt)} class ({', '.join(learnt)}), expected at least two; add a class folder")
    for label, split in sorted(counts):
        if split in ("val", "test") and label not in learnt:
            raise _bad(path, f"the class {label} of {split} is not in train; add train/{label} or remove it")


def _bad(path: Path, text: str) -> TouchstoneError:
    return TouchstoneError(f"data.path: {path}: {text}")

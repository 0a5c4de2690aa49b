"""A quick look at the files of a folder or an archive: their names, and whether a few of them list images.

Hidden files are left out and links are followed, as everywhere (data/hidden.py, data/walk.py). Of large files only what
is needed is read: the first rows of a table, the end of a Parquet file, which holds its columns, the list of arrays in
an .npz file, and JSON piece by piece.
"""

import codecs
import fnmatch
import io
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO

from touchstone.data.archives import DAMAGE, members, safe_name
from touchstone.data.hidden import hidden
from touchstone.data.reading import MAX_BYTES, MAX_FILES
from touchstone.data.recognise import has_image_suffix
from touchstone.data.sources import table
from touchstone.data.walk import walk
from touchstone.errors import TouchstoneError, one_line

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
MOST = 200_000  # files and folders whose names are looked at
LOOKED_INTO = 100  # files of a kind that are opened, those in the fewest folders first
HEAD_BYTES = 1 << 16  # of a table
END_BYTES = 1 << 24  # of a Parquet file
CHUNK_BYTES = 1 << 20
WORD_BYTES = 100  # most that the name of a class takes
KEYS = (b'"images"', b'"categories"')  # of COCO's annotations


@dataclass(frozen=True)
class Peek:
    """The visible files of a folder or an archive, without the folders that hold all others."""

    names: list[str]
    """Posix names, those in the fewest folders first."""
    folders: set[str]
    """The own names of all folders, those around all others included."""
    words: set[str]
    """The names of the .txt files in a tar archive that hold one word, such as a class."""
    _lists: Callable[[str], bool]
    """Return whether a file of this name lists images or holds them, see `lists_images`."""

    def named(self, patterns: Iterable[str]) -> list[str]:
        """Return the files whose own names match one of the patterns."""
        own = ((name, PurePosixPath(name).name) for name in self.names)
        return [name for name, last in own if any(fnmatch.fnmatch(last, pattern) for pattern in patterns)]

    def any_lists(self, names: Iterable[str]) -> bool:
        """Return whether one of these files, of which the first are opened, lists images or holds them."""
        return any(map(self._lists, islice(names, LOOKED_INTO)))

    def annotations(self) -> Iterable[str]:
        """The JSON files that may be COCO's annotations, not those that each belong to an image."""
        images = {PurePosixPath(name).stem for name in self.names if has_image_suffix(name)}
        found = (name for name in self.names if name.lower().endswith(".json"))
        return (name for name in found if images.isdisjoint(_stems(name)))

    def tables(self) -> Iterable[str]:
        """The tables among the files."""
        return (name for name in self.names if PurePosixPath(name).suffix.lower() in TABLES)


def _stems(name: str) -> list[str]:
    """Return what an image is called to which a file may belong: `x` and `x.rf` for `x.rf.json`."""
    parts = PurePosixPath(name).name.split(".")
    return [".".join(parts[:number]) for number in range(1, len(parts))]


@contextmanager
def peek(path: Path) -> Iterator[Peek]:
    """Look at a folder or an archive. Raises TouchstoneError on a damaged archive, and on a folder without access.

    Names that `members` refuses in an archive are refused here, too.
    """
    if path.is_dir():
        yield _of_folder(path)
    elif path.name.lower().endswith(".zip"):
        with _directory(path) as archive:
            yield _of_zip(path, archive)
    else:
        yield _of_tar(path)


def lists_images(name: str, stream: IO[bytes]) -> bool:
    """Return whether a file is a table with images and labels, COCO's annotations, or has arrays of images.

    Raises one of archives.DAMAGE on a file that cannot be read.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ".json":
        return _has_keys(stream)
    if suffix == ".npz":
        return any(member.endswith("_images.npy") for member in zipfile.ZipFile(stream).namelist())
    if suffix == ".parquet":
        return table.lists_images(_end(stream), file=name)
    return suffix in TABLES and table.lists_images(_head(stream), file=name)


def _has_keys(stream: IO[bytes]) -> bool:
    left, before = set(KEYS), b""
    while left and (chunk := stream.read(CHUNK_BYTES)):
        window = before + chunk
        left = {key for key in left if key not in window}
        before = window[-max(map(len, KEYS)) :]
    return not left


def _head(stream: IO[bytes]) -> bytes:
    """Return the first lines of a table, whole ones."""
    content = stream.read(HEAD_BYTES + 1)
    if len(content) <= HEAD_BYTES:
        return content
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = codecs.getincrementaldecoder("utf-16")().decode(content).encode()  # without half a character
    return content[: content.rfind(b"\n") + 1] or content


def _end(stream: IO[bytes]) -> bytes:
    """Return the last bytes of a Parquet file, from which its columns are read."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - END_BYTES))
    return stream.read(END_BYTES)


def _of_folder(path: Path) -> Peek:
    names: list[str] = []
    folders: set[str] = set()
    for entry in islice(walk(path, odd=lambda name, reason: None), MOST):  # `download` names odd ones
        if entry.is_folder:
            folders.add(entry.path.name)
        else:
            names.append(entry.name)
    return _peek(names, folders, lambda name: _opened(lambda: (path / name).open("rb"), name))


def _directory(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except DAMAGE as error:
        raise TouchstoneError(f"{path}: damaged or truncated ({one_line(error)}); get the archive again") from error


def _of_zip(path: Path, archive: zipfile.ZipFile) -> Peek:
    """Look at a .zip archive by its directory: only the files that may list images are unpacked."""
    plain = {safe_name(path, info.filename): info for info in archive.infolist()}
    files = {name: info for name, info in plain.items() if not (info.is_dir() or hidden(name))}
    return _peek([*files], _folders(files), lambda name: _opened(partial(archive.open, files[name]), name))


def _of_tar(path: Path) -> Peek:
    """Look at a tar archive, which can only be read from its beginning to its end: all files once, one at a time."""
    found: dict[str, bool] = {}
    words: set[str] = set()
    for name, content in members(path, max_files=MAX_FILES, max_bytes=MAX_BYTES):
        found[name] = _opened(partial(io.BytesIO, content), name)
        if name.lower().endswith(".txt") and len(content) <= WORD_BYTES and len(content.split()) == 1:
            words.add(name)
    return _peek([*found], _folders(found), found.__getitem__, words)


def _folders(names: Iterable[str]) -> set[str]:
    return {part for name in names for part in PurePosixPath(name).parts[:-1]}


def _opened(opening: Callable[[], IO[bytes]], name: str) -> bool:
    try:
        with opening() as stream:
            return lists_images(name, stream)
    except DAMAGE:
        return False  # `download` says that it cannot be read


def _peek(names: list[str], folders: set[str], lists: Callable[[str], bool], words: Iterable[str] = ()) -> Peek:
    parents = [PurePosixPath(name).parent.as_posix() for name in names]
    around = os.path.commonpath(parents) if parents else ""
    start = len(around) + 1 if around not in ("", ".") else 0
    inside = sorted((name[start:] for name in names), key=lambda name: name.count("/"))
    own = {name[start:] for name in words}
    return Peek(inside, folders, own, lambda name: lists(name if not start else f"{around}/{name}"))

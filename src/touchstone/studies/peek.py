"""A quick look at the files of a folder or an archive: their names, and whether a few of them list images.

Hidden files are left out and links are followed, as everywhere (data/hidden.py, data/walk.py). Of large files only what
is needed is read: the first rows of a table, the list of arrays in an .npz file, and JSON piece by piece.
"""

import io
import os
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO

from touchstone.data.archives import members
from touchstone.data.hidden import hidden
from touchstone.data.reading import MAX_BYTES, MAX_FILES
from touchstone.data.recognise import has_image_suffix
from touchstone.data.sources import table
from touchstone.data.walk import walk
from touchstone.errors import TouchstoneError

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
MOST = 200_000  # files and folders whose names are looked at
LOOKED_INTO = 100  # files of a kind that are opened
HEAD_BYTES = 1 << 16  # of a table
CHUNK_BYTES = 1 << 20
KEYS = (b'"images"', b'"categories"')  # of COCO's annotations


@dataclass(frozen=True)
class Peek:
    """The visible files of a folder or an archive, without the folders that hold all others."""

    names: list[str]
    """Posix names."""
    folders: set[str]
    """The own names of all folders, those around all others included."""
    lists: Callable[[str], bool]
    """Return whether a file of this name lists images or holds them, see `lists_images`."""

    def annotations(self) -> Iterable[str]:
        """The JSON files that may be COCO's annotations, not those that each belong to an image."""
        images = {PurePosixPath(name).stem for name in self.names if has_image_suffix(name)}
        found = (name for name in self.names if name.lower().endswith(".json"))
        return islice((name for name in found if PurePosixPath(name).name.split(".")[0] not in images), LOOKED_INTO)

    def tables(self) -> Iterable[str]:
        """The tables among the files."""
        return islice((name for name in self.names if PurePosixPath(name).suffix.lower() in TABLES), LOOKED_INTO)


def peek(path: Path) -> Peek:
    """Look at a folder or an archive. Raises TouchstoneError on a damaged archive, and on a folder without access."""
    if path.is_dir():
        return _of_folder(path)
    return _of_zip(path) if path.name.lower().endswith(".zip") else _of_tar(path)


def lists_images(name: str, stream: IO[bytes]) -> bool:
    """Return whether a file is a table with images and labels, COCO's annotations, or has arrays of images."""
    suffix = PurePosixPath(name).suffix.lower()
    try:
        if suffix == ".json":
            return _has_keys(stream)
        if suffix == ".npz":
            return any(member.endswith("_images.npy") for member in zipfile.ZipFile(stream).namelist())
        if suffix == ".parquet":
            return table.lists_images(stream.read(), file=name)
        return suffix in TABLES and table.lists_images(_head(stream), file=name)
    except (OSError, zipfile.BadZipFile):
        return False  # `download` says that it cannot be read


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
    return content if len(content) <= HEAD_BYTES else content[: content.rfind(b"\n") + 1] or content


def _of_folder(path: Path) -> Peek:
    names: list[str] = []
    folders: set[str] = set()
    for entry in islice(walk(path, odd=lambda name, reason: None), MOST):  # `download` names odd ones
        if entry.is_folder:
            folders.add(entry.path.name)
        else:
            names.append(entry.name)
    return _peek(names, folders, lambda name: _opened(lambda: (path / name).open("rb"), name))


def _of_zip(path: Path) -> Peek:
    """Look at a .zip archive by its directory: only the files that may list images are unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            plain = {PurePosixPath(info.filename).as_posix(): info for info in archive.infolist() if not info.is_dir()}
    except (zipfile.BadZipFile, OSError) as error:
        raise TouchstoneError(f"{path}: damaged or truncated ({error}); get the archive again") from error
    files = {name: info for name, info in plain.items() if not hidden(name)}

    def lists(name: str) -> bool:
        with zipfile.ZipFile(path) as archive:
            return _opened(partial(archive.open, files[name]), name)

    return _peek([*files], {part for name in files for part in PurePosixPath(name).parts[:-1]}, lists)


def _of_tar(path: Path) -> Peek:
    """Look at a tar archive, which can only be read from its beginning to its end: all files once, one at a time."""
    found = {
        name: lists_images(name, io.BytesIO(content))
        for name, content in members(path, max_files=MAX_FILES, max_bytes=MAX_BYTES)
    }
    return _peek([*found], {part for name in found for part in PurePosixPath(name).parts[:-1]}, found.__getitem__)


def _opened(opening: Callable[[], IO[bytes]], name: str) -> bool:
    try:
        with opening() as stream:
            return lists_images(name, stream)
    except (OSError, RuntimeError, zipfile.BadZipFile):  # RuntimeError: encrypted
        return False  # `download` says that it cannot be read


def _peek(names: list[str], folders: set[str], lists: Callable[[str], bool]) -> Peek:
    parents = [PurePosixPath(name).parent.as_posix() for name in names]
    around = os.path.commonpath(parents) if parents else ""
    start = len(around) + 1 if around not in ("", ".") else 0
    return Peek(
        [name[start:] for name in names], folders, lambda name: lists(name if not start else f"{around}/{name}")
    )

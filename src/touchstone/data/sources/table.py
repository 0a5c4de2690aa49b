"""Images that a table lists, as CSV, TSV, JSON lines or Parquet, in a folder or an archive.

    metadata.csv, train/images.csv, ...   columns for the file, the label and perhaps the split, then others such as
                                          patient, which `data.group` may name; any number of tables
    train-00000-of-00002.parquet, ...     the same, or with the image files themselves in a column (Hugging Face)

`data.columns` names the columns; without it those of FILE_NAMES, LABEL_NAMES and SPLIT_NAMES are looked for. A file's
name is relative to its table, or else to `source.path`. Several labels are joined by `|` or stand in a list. A row's
split is that of its cell, else of its table's name or folders, else of its image's folders.
"""

import fnmatch
import os
import posixpath
import tempfile
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from touchstone.config.schema.data import Columns
from touchstone.data.archives import is_archive
from touchstone.data.recognise import has_image_suffix, may_be_image, recognised
from touchstone.data.sources._files import (
    RESERVED,
    Files,
    PackedSet,
    find,
    has_control_character,
    print_left_out,
    read_bytes,
    refusal,
)
from touchstone.data.sources._listing import Listing
from touchstone.data.sources._tables import LABEL_NAMES, READERS, Table, column, label_of, open_table, text, texts
from touchstone.data.sources._words import check_all_or_none, folder_of_split, split_in, split_of
from touchstone.data.splits import UNLABELLED
from touchstone.errors import TouchstoneError, nearest

OPTIONS = ("columns",)
FILE_NAMES = ("file", "file_name", "filename", "path", "file_path", "filepath", "image", "image_path", "img")
SPLIT_NAMES = ("split", "subset", "partition")
DEFAULT = Columns()

Named = tuple[str, Callable[[], bytes]]
"""An image's name, and a function that reads the file."""


def download(*, to: Path, path: Path, mirror: str, old: Path | None = None, columns: Columns = DEFAULT) -> None:
    """Pack the images that the tables under `path` list into `files.zip`, with `manifest.csv`.

    path: a folder or an archive with tables and images, or one Parquet file that holds its images. `mirror` and `old`
    are not used. Raises TouchstoneError on a row that names no image or an image twice, on what `find`, `open_table`
    and `label_of` refuse, and where a column is missing.
    """
    with tempfile.TemporaryFile(dir=to) as spool:
        files = _found(path, to, spool)
        tables = [name for name in sorted(files) if _is_table(name, columns.table)]
        if not tables:
            expected = f"{columns.table!r} by data.columns.table" if columns.table else ", ".join(READERS)
            raise refusal(path, f"no table in it, expected {expected}; put one beside the images")
        by_content = set(recognised(files, (), anywhere=True))
        images = {name: read for name, read in files.items() if has_image_suffix(name) or name in by_content}
        listing = Listing(path, to, spool)
        by_folder: dict[str, str] = {}
        for name in tables:
            table = open_table(files[name](), file=f"source.path: {path}: {name}")
            by_folder |= _list(table, name, columns, images, listing)
        check_all_or_none(by_folder, where=f"source.path: {path}")
        for name in images.keys() - listing.files.keys():
            if folder_of_split(name)[1] == UNLABELLED:
                listing.add(name, images[name], label=None, split=UNLABELLED, where=name)
        print_left_out(path, images.keys() - listing.files.keys(), "images that no table lists")
        listing.pack(to)


read = PackedSet


def lists_images(content: bytes, *, file: str) -> bool:
    """Return whether a table has a column of files and one of labels, by their usual names; a damaged one has none."""
    try:
        columns = {name.lower() for name in open_table(content, file=file).columns}
    except TouchstoneError:
        return False
    return bool(columns & set(FILE_NAMES)) and bool(columns & set(LABEL_NAMES))


def _found(path: Path, to: Path, spool: BinaryIO) -> Files:
    if path.is_file() and _suffix(path.name) in READERS:
        return {path.name: partial(read_bytes, path)}
    return find(path, to, spool, keep=lambda name: may_be_image(name) or _suffix(name) in READERS)[0]


def _is_table(name: str, wanted: str) -> bool:
    return _suffix(name) in READERS and (not wanted or fnmatch.fnmatchcase(name, wanted))


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _list(table: Table, name: str, columns: Columns, images: Files, listing: Listing) -> dict[str, str]:
    """List the images of a table, whose own name below `source.path` is `name`.

    Returns image -> the split of its folder, for labelled images without a split in their row and their table's name.
    """
    file, label = _file_column(table, columns.file), _label_column(table, columns.label)
    split = column(columns.split, SPLIT_NAMES, table.columns, key="data.columns.split", file=table.file)
    if not label:
        print(f"{table.file}: no column of labels, so its images are unlabelled")
    if taken := [each for each in table.columns if each in RESERVED and each not in (file, label, split)]:
        print(f"{table.file}: left out the column {', '.join(taken)}, whose name is taken")
    class_names = table.class_names.get(label, [])
    by_folder: dict[str, str] = {}
    for number, (where, cells) in enumerate(table.rows(), 1):
        cell = cells.pop(file)
        if file in table.pictures:
            image, read = _held(cell, name, number, images, listing, where)
        else:
            image, read = _beside(cell, name, images, listing.path, where)
        classes = label_of(cells.pop(label), class_names, where=where) if label else None
        given = split_of(text(cells.pop(split)) if split else "", where=where) or split_in(name)
        if not given and classes is not None:
            given = by_folder[image] = folder_of_split(image)[1]
        listing.add(image, read, label=classes, split=given, where=where, cells=texts(cells))
    return by_folder


def _file_column(table: Table, wanted: str) -> str:
    found = column(wanted, FILE_NAMES, table.columns, key="data.columns.file", file=table.file)
    if not found and len(table.pictures) == 1:
        return table.pictures[0]
    if not found:
        raise TouchstoneError(
            f"{table.file}: no column of image files among {', '.join(table.columns)}; name it in data.columns.file"
        )
    return found


def _label_column(table: Table, wanted: str) -> str:
    found = column(wanted, LABEL_NAMES, table.columns, key="data.columns.label", file=table.file)
    if not found and len(table.class_names) > 1:
        named = ", ".join(table.class_names)
        raise TouchstoneError(f"{table.file}: several columns of labels ({named}); name one in data.columns.label")
    return found or next(iter(table.class_names), "")


def _held(cell: Any, table: str, number: int, images: Files, listing: Listing, where: str) -> Named:
    """Return the name and the reader of an image in the table: its bytes, or {bytes, path}, either may be null."""
    parts = cell if isinstance(cell, dict) else {"bytes": cell, "path": ""}
    content, path = parts.get("bytes"), str(parts.get("path") or "")
    if content is None and path:
        return _beside(path, table, images, listing.path, where)
    if not isinstance(content, bytes):
        raise TouchstoneError(f"{where}: no image in it; remove the row")
    own = path.replace("\\", "/").rpartition("/")[2]
    base = f"{os.path.splitext(table)[0]}/{number:06d}"
    return (f"{base}-{own}" if own and not has_control_character(own) else base), listing.keep(content)


def _beside(cell: Any, table: str, images: Files, path: Path, where: str) -> Named:
    """Return the name and the reader of an image file that the table names."""
    got = text(cell)
    if "://" in got:
        raise TouchstoneError(f"{where}: {got} is an address, expected a file; download the images first")
    name = unicodedata.normalize("NFC", got)  # as the images' names are
    if name.startswith("/"):
        absolute = posixpath.normpath(name)
        roots = {unicodedata.normalize("NFC", root.as_posix()) + "/" for root in (path.absolute(), path.resolve())}
        root = next((root for root in roots if absolute.startswith(root)), "")
        if not root:
            remedy = "move the images there, or set source.path to a folder that holds both"
            raise TouchstoneError(f"{where}: {got} lies outside of source.path, where no change is seen; {remedy}")
        tries = [absolute.removeprefix(root)]
    else:
        tries = [posixpath.normpath(posixpath.join(posixpath.dirname(table), name)), posixpath.normpath(name)]
    for each in tries:
        if each in images:
            return each, images[each]
    hint = "" if path.is_dir() or is_archive(path) else ", as source.path is the table alone; set it to their folder"
    raise TouchstoneError(f"{where}: no image {got!r}{hint or nearest(name, images) + '; correct the name'}")

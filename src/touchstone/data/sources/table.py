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
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from touchstone.config.schema.data import Columns
from touchstone.data import left_out
from touchstone.data.hidden import Aside
from touchstone.data.labels import names
from touchstone.data.recognise import has_image_suffix, may_be_image, recognised, taken_by_content
from touchstone.data.sources._beside import Beside
from touchstone.data.sources._files import RESERVED, Files, PackedSet, find, has_control_character, read_bytes, refusal
from touchstone.data.sources._listing import Listing
from touchstone.data.sources._structure import renamed, twins
from touchstone.data.sources._tables import (
    FILE_NAMES,
    LABEL_NAMES,
    READERS,
    SPLIT_NAMES,
    Table,
    column,
    label_of,
    open_table,
    text,
    texts,
)
from touchstone.data.sources._told import tell, unlisted
from touchstone.data.sources._words import (
    check_images,
    check_tables,
    folder_of_split,
    split_in,
    split_of,
    split_of_image,
)
from touchstone.data.splits import UNLABELLED
from touchstone.data.wording import count
from touchstone.errors import TouchstoneError

OPTIONS = ("columns",)
DEFAULT = Columns()
NOT_LISTED = "images that no table lists"

Read = Callable[..., bytes]


def download(*, to: Path, path: Path, mirror: str, old: Path | None = None, columns: Columns = DEFAULT) -> None:
    """Pack the images that the tables under `path` list into `files.zip`, with `manifest.csv`.

    path: a folder or an archive with tables and images, or one Parquet file that holds its images. What should be known
    of them is printed and written to `findings.csv`, if there is anything. `mirror` and `old` are not used. Raises
    TouchstoneError on a row that names no image or an image twice, on what `find`, `open_table` and `label_of` refuse,
    and where a column is missing.
    """
    aside = Aside()
    with tempfile.TemporaryFile(dir=to) as spool:
        files = _found(path, to, spool, aside)
        tables = [name for name in sorted(files) if _is_table(name, columns.table)]
        if not tables:
            expected = f"{columns.table!r} by data.columns.table" if columns.table else ", ".join(READERS)
            raise refusal(path, f"no table in it, expected {expected}; put one beside the images")
        by_content = set(recognised(files, (), anywhere=True))
        images = {name: read for name, read in files.items() if has_image_suffix(name) or name in by_content}
        rows = _Rows(columns, images, Listing(path, to, spool))
        for name in tables:
            rows.add(open_table(files[name](), file=f"source.path: {path}: {name}"), name)
        rows.check_labels()
        rows.check_splits()
        rows.add_unlabelled()
        listed = rows.listing.files
        rows.listing.pack(to)
        others = files.keys() - images.keys() - set(tables)
        unread = left_out.pictures(others, lambda name: "") + unlisted(images.keys() - listed.keys(), NOT_LISTED)
        notes = rows.notes() + taken_by_content(by_content & listed.keys())
        tell(path, to, notes=notes, left_out=rows.left_out() + unread, aside=aside)


read = PackedSet


def lists_images(content: bytes, *, file: str) -> bool:
    """Return whether a table has a column of files and one of labels, by their usual names; a damaged one has none."""
    try:
        columns = {name.lower() for name in open_table(content, file=file).columns}
    except TouchstoneError:
        return False
    return bool(columns & set(FILE_NAMES)) and bool(columns & set(LABEL_NAMES))


def _found(path: Path, to: Path, spool: BinaryIO, aside: Aside) -> Files:
    if path.is_file() and _suffix(path.name) in READERS:
        return {path.name: partial(read_bytes, path)}
    return find(path, to, spool, keep=lambda name: may_be_image(name) or _suffix(name) in READERS, aside=aside)[0]


def _is_table(name: str, wanted: str) -> bool:
    return _suffix(name) in READERS and (not wanted or fnmatch.fnmatchcase(name, wanted))


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


class _Rows:
    """Lists the images of tables, row by row, and notes what should be known of them."""

    def __init__(self, columns: Columns, images: Files, listing: Listing) -> None:
        self.listing = listing
        self._columns = columns
        self._images = images
        self._beside = Beside(images, listing.path)
        self._classes: set[str] = set()
        self._count = 0  # of tables; a table itself holds its whole file, so none is kept
        self._first: tuple[str, list[str]] = "", []  # its name, for messages, and its columns
        self._by_folder: dict[str, str] = {}  # labelled image whose row and table say no split -> that of its folders
        self._unlisted: list[str] = []  # images without a row that are unlabelled
        self._split_of_table: dict[str, str] = {}  # of its name, "" where a labelled image has no split
        self._without_labels: list[str] = []
        self._taken: dict[str, list[str]] = {}  # columns -> the tables in which their names are taken

    def add(self, table: Table, name: str) -> None:
        """List the images of a table, whose own name below `source.path` is `name`."""
        file, label = _file_column(table, self._columns.file), _label_column(table, self._columns.label)
        split = column(self._columns.split, SPLIT_NAMES, table.columns, key="data.columns.split", file=table.file)
        self._first = self._first if self._count else (table.file, table.columns)
        self._count += 1
        if not label:
            self._without_labels.append(name)
        if taken := [each for each in table.columns if each in RESERVED and each not in (file, label, split)]:
            self._taken.setdefault(", ".join(taken), []).append(name)
        class_names = table.class_names.get(label, [])
        for number, (where, cells) in enumerate(table.rows(), 1):
            cell = cells.pop(file)
            image, read = self._image(cell, name, number, where, held=file in table.pictures)
            classes = label_of(cells.pop(label), class_names, where=where) if label else None
            given = split_of(text(cells.pop(split)) if split else "", where=where)
            if not given and classes is not None:
                given = self._split(image, classes, name, where)
            self._classes.update(names(classes or ""))
            self.listing.add(image, read, label=classes, split=given, where=where, cells=texts(cells))

    def check_labels(self) -> None:
        """Raise TouchstoneError where no table has a column of labels."""
        if len(self._without_labels) == self._count:
            file, columns = self._first
            among = f"no column of labels among {', '.join(columns)}"
            raise TouchstoneError(f"{file}: no image has a label: {among}; name it in data.columns.label")

    def check_splits(self) -> None:
        """Raise TouchstoneError where names of tables or folders say train of some images, and nothing of others."""
        where = f"source.path: {self.listing.path}"
        check_tables(self._split_of_table, where=where)
        check_images(self._by_folder, where=where)

    def add_unlabelled(self) -> None:
        """List the images without a row that lie in a folder for images without a class."""
        for name in self._images.keys() - self.listing.files.keys():
            if folder_of_split(name)[1] == UNLABELLED:
                self.listing.add(name, self._images[name], label=None, split=UNLABELLED, where=name)
                self._unlisted.append(name)

    def notes(self) -> list[str]:
        """Return notes on how the tables were read."""
        by_folder = [image for image, split in self._by_folder.items() if split]
        folders = dict(folder_of_split(image) for image in (*by_folder, *self._unlisted))
        without = self._without_labels
        own = "its" if len(without) == 1 else "their"
        unlabelled = [f"{_first(without)}: no column of labels, so {own} images are unlabelled"] if without else []
        return [*unlabelled, *renamed(folders), *self._beside.notes(), *twins(self._classes)]

    def left_out(self) -> list[str]:
        """Return lines on the columns that are left out."""
        return [
            f"left out the column {taken} in {_first(tables)}, whose name is taken"
            for taken, tables in self._taken.items()
        ]

    def _split(self, image: str, label: str, table: str, where: str) -> str:
        """Return the split of a labelled image whose row gives none: that of its table's name, else of its folders."""
        if split := split_in(table):
            self._split_of_table[table] = split
            return split
        split = self._by_folder[image] = split_of_image(image, label, where=where)
        if not split:
            self._split_of_table[table] = ""
        return split

    def _image(self, cell: Any, table: str, number: int, where: str, *, held: bool) -> tuple[str, Read]:
        """Return the name and the reader of a row's image: a file, or the table's bytes, or {bytes, path}.

        Either of the last may be null.
        """
        parts = cell if isinstance(cell, dict) else {"bytes": cell, "path": ""}
        content, path = parts.get("bytes"), str(parts.get("path") or "")
        if not held or (content is None and path):
            name = self._beside.find(path if held else cell, table, where)
            return name, self._images[name]
        if not isinstance(content, bytes):
            raise TouchstoneError(f"{where}: no image in it; remove the row")
        own = path.replace("\\", "/").rpartition("/")[2]
        base = f"{os.path.splitext(table)[0]}/{number:06d}"
        return (f"{base}-{own}" if own and not has_control_character(own) else base), self.listing.keep(content)


def _first(tables: Sequence[str]) -> str:
    """Return the name of the first table, and the number of the others."""
    return f"{tables[0]} and {count(len(tables) - 1, 'more table')}" if len(tables) > 1 else tables[0]


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

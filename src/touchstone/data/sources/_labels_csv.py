"""labels.csv as spreadsheets and other systems write it: read where only one reading fits, else refused by its line."""

import ast
import csv
import io
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from touchstone.data.decode import image_suffixes
from touchstone.data.labels import SEPARATOR, join, names
from touchstone.data.sources._files import RESERVED, class_name
from touchstone.data.sources._words import split_of
from touchstone.data.splits import UNLABELLED
from touchstone.errors import TouchstoneError, nearest

NAME = "labels.csv"
KNOWN = ("file", "label", "split")
DELIMITERS = (",", ";", "\t")


@dataclass
class Labels:
    """The labels that a table gives."""

    rows: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Image -> (label, split)."""
    cells: dict[str, dict[str, str]] = field(default_factory=dict)
    """Image -> column -> cell, for all other columns."""
    notes: list[str] = field(default_factory=list)
    """Sentences on what was read in another way than it stands there."""


def parse(content: bytes, images: Iterable[str], *, file: str) -> Labels:
    """Return the labels in a table. An empty label means that the image shows none of the classes.

    images: the names of the images beside it. Columns may be divided by commas, semicolons or tabs, in UTF-8 or UTF-16;
    their names count in any case. A file may be named without its folder or suffix, with backslashes or by a path from
    elsewhere, as long as only one image fits. Raises TouchstoneError, with the line, on all that is ambiguous.
    """
    header, rows = _rows(_text(content, file), file)
    found, finder = Labels(), _Finder(images)
    number_of_repeats = 0
    for number, row in rows:
        where = f"{file}, line {number}"
        cells = _cells(header, row, where)
        name = finder.find(cells.pop("file").strip(), where)
        label, split = cells.pop("label").strip(), split_of(cells.pop("split", ""), where=where)
        classes = [class_name(each, where=where) for each in names(_listed(label))]
        if len(set(classes)) < len(classes):
            raise TouchstoneError(f"{where}: got the label {label!r}, expected each class once, joined by |")
        entry = join(sorted(classes)), split  # sorted: equal sets of classes are equal labels
        if entry[0] and entry[1] == UNLABELLED:
            raise TouchstoneError(
                f"{where}: an unlabelled image has the label {label!r}; remove the label or the split"
            )
        if name in found.rows:
            if (found.rows[name], found.cells[name]) != (entry, cells):
                raise TouchstoneError(f"{where}: {name} is listed twice; join its classes by |, as in cat|dog")
            number_of_repeats += 1
        found.rows[name], found.cells[name] = entry, cells
    if not any(label for label, _ in found.rows.values()):
        raise TouchstoneError(f"{file}: no image has a label, so nothing can be learned; label some")
    if number_of_repeats:
        found.notes.append(f"{NAME}: rows that repeat an earlier one, word for word: {number_of_repeats}")
    found.notes += finder.notes()
    return found


def _text(content: bytes, file: str) -> str:
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise TouchstoneError(f"{file}: not a CSV file in UTF-8 ({error}); save it as one") from error


def _rows(text: str, file: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, "" for columns that are dropped, and the rows that are not empty, with their lines."""
    first = text.lstrip("\r\n").splitlines()[0] if text.strip() else ""
    delimiter = max(DELIMITERS, key=lambda each: sum(cell in KNOWN for cell in _names(first.split(each))))
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter, skipinitialspace=True)
        lines, rows = 0, []
        for row in reader:
            rows += [(lines + 1, row)] if any(cell.strip() for cell in row) else []
            lines = reader.line_num
    except csv.Error as error:
        raise TouchstoneError(f"{file}: not a CSV file in UTF-8 ({error}); save it as one") from error
    header = _names(rows[0][1]) if rows else []
    for column, name in enumerate(header):
        cells = [row[column] for _, row in rows[1:] if column < len(row)]
        if name == "" and any(cells) and not _is_index(cells):
            header = []
            break
    named = [name for name in header if name]
    if not {"file", "label"} <= set(named) or len(set(named)) < len(named):
        got = ",".join(rows[0][1]) if rows else ""
        raise TouchstoneError(
            f"{file}: got the header {got!r}, expected file,label or file,label,split, then columns of your own, each "
            "with a name; correct it, or remove the file to take labels from class folders"
        )
    if taken := [name for name in header if name in RESERVED and name not in KNOWN]:
        raise TouchstoneError(f"{file}: a column is called {taken[0]}, which is taken; give it another name")
    return header, rows[1:]


def _names(header: list[str]) -> list[str]:
    """Return the names of columns without blanks and quotes; those that are known in lower case."""
    plain = [name.strip().strip('"') for name in header]
    return [name.lower() if name.lower() in KNOWN else name for name in plain]


def _is_index(cells: list[str]) -> bool:
    """Return whether a column without a name only counts its rows, as pandas writes it."""
    return cells in ([str(i) for i in range(len(cells))], [str(i + 1) for i in range(len(cells))])


def _cells(header: list[str], row: list[str], where: str) -> dict[str, str]:
    if len(row) < len(header) or any(cell.strip() for cell in row[len(header) :]):
        raise TouchstoneError(f"{where}: got {len(row)} cells, expected {len(header)}: {','.join(header)}")
    return {name: cell for name, cell in zip(header, row, strict=False) if name}


def _listed(label: str) -> str:
    """Return the label; classes that Python or pandas wrote as a list, ['cat', 'dog'], joined by |."""
    if not re.fullmatch(r"\[.*\]", label, re.DOTALL):
        return label
    try:
        classes = ast.literal_eval(label)
    except (ValueError, SyntaxError):
        return label
    listed = isinstance(classes, list) and all(isinstance(each, str) for each in classes)
    return SEPARATOR.join(classes) if listed else label


class _Finder:
    """Finds the image that a cell names."""

    def __init__(self, images: Iterable[str]) -> None:
        self.images = list(images)
        self._known = set(self.images)
        self._other: dict[str, dict[str, list[str]]] = {}
        self._count = 0
        self._example = "", ""

    def find(self, cell: str, where: str) -> str:
        """Return the image that the cell names. Raises TouchstoneError where none fits, or several."""
        name = unicodedata.normalize("NFC", cell)  # as the images' names are
        if name in self._known:
            return name
        path = re.sub(r"^(\./)+", "", name.replace("\\", "/"))
        if path in self._known:
            return path
        for key in _keys(path):
            found = self._by_key(key[0]).get(key[1], [])
            if len(found) > 1:
                several = " or ".join(sorted(found)[:3])
                raise TouchstoneError(f"{where}: {cell!r} may be {several}; write its path from {NAME}")
            if found:
                return self._said(cell, found[0])
        raise TouchstoneError(f"{where}: no image {cell!r} beside {NAME}{nearest(name, self.images)}; correct the name")

    def _said(self, cell: str, name: str) -> str:
        self._count += 1
        self._example = self._example if self._example[0] else (cell, name)
        return name

    def _by_key(self, kind: str) -> dict[str, list[str]]:
        if kind not in self._other:
            table: dict[str, list[str]] = {}
            for image in self.images:
                for other, key in _keys_of_image(image):
                    if other == kind:
                        table.setdefault(key, []).append(image)
            self._other[kind] = table
        return self._other[kind]

    def notes(self) -> list[str]:
        """Return a note on the cells that do not name their image to the letter."""
        if not self._count:
            return []
        return [
            f"{NAME}: files that are named in another way: {self._count}; {self._example[0]!r} was read as "
            f"{self._example[1]}"
        ]


def _keys_of_image(path: str) -> list[tuple[str, str]]:
    """Return the ways in which a cell may name an image: (kind, key)."""
    base = PurePosixPath(path).name
    whole = [("path", path.casefold()), ("stem of path", _stem(path).casefold())]
    return [*whole, ("name", base), ("name in any case", base.casefold()), ("stem", _stem(base).casefold())]


def _keys(path: str) -> list[tuple[str, str]]:
    """Return the ways in which a cell may be meant, the closest first; a path from elsewhere is tried by its tails."""
    parts = PurePosixPath(re.sub("^([A-Za-z]:)?/", "", path)).parts
    tails = ["/".join(parts[start:]) for start in range(len(parts))]
    keys = [key for tail in tails for key in _keys_of_image(tail)[:2]]
    return keys + (_keys_of_image(path)[2:] if "/" not in path else [])


def _stem(path: str) -> str:
    """Return the path without the suffix of an image."""
    base, dot, suffix = path.rpartition(".")
    return base if dot and f".{suffix.lower()}" in image_suffixes() else path

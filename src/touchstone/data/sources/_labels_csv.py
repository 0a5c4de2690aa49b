"""labels.csv as spreadsheets and other systems write it: read where only one reading fits, else refused by its line."""

import ast
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from touchstone.data.labels import SEPARATOR, join, names
from touchstone.data.sources._delimited import cells_of, decoded, delimiter_of, plain
from touchstone.data.sources._delimited import rows as delimited
from touchstone.data.sources._files import RESERVED, class_name
from touchstone.data.sources._finder import Finder, Key, keys_of_name, keys_of_path
from touchstone.data.sources._words import split_of
from touchstone.data.splits import UNLABELLED
from touchstone.errors import TouchstoneError, nearest

NAME = "labels.csv"
KNOWN = ("file", "label", "split")


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
    header, rows = _rows(decoded(content, file), file)
    found, finder = Labels(), Finder(images, root=NAME)
    number_of_repeats = 0
    for number, row in rows:
        where = f"{file}, line {number}"
        cells = cells_of(header, row, where)
        name = _find(cells.pop("file").strip(), finder, where)
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
    found.notes += [f"{NAME}: {note}" for note in finder.notes()]
    return found


def _rows(text: str, file: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, "" for columns that are dropped, and the rows that are not empty, with their lines."""
    rows = list(delimited(text, file, delimiter=delimiter_of(text, KNOWN), skip_blanks=True))
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
    return [name.lower() if name.lower() in KNOWN else name for name in map(plain, header)]


def _is_index(cells: list[str]) -> bool:
    """Return whether a column without a name only counts its rows, as pandas writes it."""
    return cells in ([str(i) for i in range(len(cells))], [str(i + 1) for i in range(len(cells))])


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


def _find(cell: str, finder: Finder, where: str) -> str:
    """Return the image that the cell names. Raises TouchstoneError where none fits, or several."""
    name = unicodedata.normalize("NFC", cell)  # as the images' names are
    path = re.sub(r"^(\./)+", "", name.replace("\\", "/"))
    if found := finder.find(cell, (name, path), _keys(path), where):
        return found
    raise TouchstoneError(f"{where}: no image {cell!r} beside {NAME}{nearest(name, finder.images)}; correct the name")


def _keys(path: str) -> list[Key]:
    """Return the ways in which a cell may be meant, the closest first; a path from elsewhere is tried by its tails."""
    parts = PurePosixPath(re.sub("^([A-Za-z]:)?/", "", path)).parts
    tails = ["/".join(parts[start:]) for start in range(len(parts))]
    keys = [key for tail in tails for key in keys_of_path(tail)]
    return keys + ([] if "/" in path else keys_of_name(path))

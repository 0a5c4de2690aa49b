"""Tables in CSV, TSV, JSON lines and Parquet: read row by row, and their cells as labels and text."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from touchstone.data.labels import join, names
from touchstone.data.sources._delimited import cells_of, decoded, delimiter_of, plain
from touchstone.data.sources._delimited import rows as delimited
from touchstone.data.sources._files import class_name
from touchstone.data.sources._words import numbered
from touchstone.errors import TouchstoneError, nearest, one_line

if TYPE_CHECKING:
    import pyarrow.parquet

ROWS = 256  # of Parquet that are in memory at a time, with the bytes of their images
FILE_NAMES = ("file", "file_name", "filename", "path", "file_path", "filepath", "image", "image_path", "img")
LABEL_NAMES = ("label", "labels", "class", "class_name", "category", "target")
SPLIT_NAMES = ("split", "subset", "partition")
NO_CLASS = -1  # the number that Hugging Face gives to images without a label


@dataclass(frozen=True)
class Table:
    """A table that has been opened."""

    file: str
    """Its name, for messages."""
    columns: list[str]
    rows: Callable[[], Iterator[tuple[str, dict[str, Any]]]]
    """A function that yields (where it stands, for messages; column -> cell) for each row."""
    class_names: dict[str, list[str]] = field(default_factory=dict)
    """Column -> the classes' names by number, where the table gives them."""
    pictures: list[str] = field(default_factory=list)
    """The columns that hold whole image files."""


def open_table(content: bytes, *, file: str) -> Table:
    """Open a table by the suffix of its name: .csv, .tsv, .jsonl, .ndjson or .parquet.

    Raises TouchstoneError, as the rows do, on a table that is damaged or not in UTF-8 or UTF-16, has no header, or has
    two columns of one name, and on Parquet without pyarrow.
    """
    table = READERS["." + file.rpartition(".")[2].lower()](content, file)
    unique = dict.fromkeys(table.columns)
    if not table.columns or "" in unique or len(unique) < len(table.columns):
        got = ",".join(table.columns)
        raise TouchstoneError(
            f"{file}: got the columns {got!r}, expected each with a name of its own; correct the header"
        )
    return table


def column(wanted: str, usual: tuple[str, ...], columns: list[str], *, key: str, file: str) -> str:
    """Return the column that is `wanted`, or without one the first of the `usual` names in any case; "" for none.

    Raises TouchstoneError where `wanted`, the value of the setting `key`, is not a column.
    """
    if wanted:
        if wanted not in columns:
            listed = ", ".join(columns)
            raise TouchstoneError(
                f"{key}: got {wanted!r}, but {file} has the columns {listed}{nearest(wanted, columns)}"
            )
        return wanted
    lower = {name.lower(): name for name in reversed(columns)}
    return next((lower[name] for name in usual if name in lower), "")


def label_of(cell: Any, class_names: list[str], *, where: str) -> str | None:
    """Return the label in a cell: a name, names joined by `|`, a number, or a list of names or numbers.

    "" means none of the classes, and None an image without a label, the number -1 with named classes. Raises
    TouchstoneError on anything else, and on a class that is given twice.
    """
    if class_names and cell == NO_CLASS:
        return None
    classes = [_class(each, class_names, where) for each in _listed(cell)]
    if len(set(classes)) < len(classes):
        raise TouchstoneError(f"{where}: got the label {cell!r}, expected each class once; correct it")
    return join(sorted(classes))  # sorted: equal sets of classes are equal labels


def text(cell: Any) -> str:
    """Return a cell as text: "" for a missing value, and whole numbers without a point."""
    if empty(cell):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def empty(cell: Any) -> bool:
    """Return whether a cell holds a missing value."""
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def texts(cells: dict[str, Any]) -> dict[str, str]:
    """Return the cells as text, without lists, mappings and bytes."""
    return {name: text(cell) for name, cell in cells.items() if not isinstance(cell, list | dict | bytes)}


def _listed(cell: Any) -> Sequence[Any]:
    """Return the classes in a cell, one or several or none."""
    if isinstance(cell, list):
        return cell
    if isinstance(cell, str):
        return names(cell.strip())
    return [] if empty(cell) else [cell]


def _class(cell: Any, class_names: list[str], where: str) -> str:
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, int) and not isinstance(cell, bool):
        return numbered(cell, class_names, where=where)
    if not isinstance(cell, str | bool):
        raise TouchstoneError(
            f"{where}: got the label {cell!r}, expected a class name, a whole number or a list of them"
        )
    return class_name(str(cell), where=where)


# --- formats ---


def _comma_separated(content: bytes, file: str) -> Table:
    """Open text with commas or, as spreadsheets also write it, semicolons or tabs."""
    lines = decoded(content, file)
    return _delimited(lines, file, delimiter_of(lines, {*FILE_NAMES, *LABEL_NAMES, *SPLIT_NAMES}))


def _delimited(lines: str, file: str, delimiter: str) -> Table:
    rows = delimited(lines, file, delimiter=delimiter)
    header = [plain(name) for _, row in islice(rows, 1) for name in row]

    def cells() -> Iterator[tuple[str, dict[str, Any]]]:
        for line, row in rows:
            where = f"{file}, line {line}"
            yield where, cells_of(header, row, where)

    return Table(file, header, cells)


def _json_lines(content: bytes, file: str) -> Table:
    """Open JSON lines; the columns are the keys of all rows, and what a row lacks is a missing value."""
    rows: list[tuple[str, dict[str, Any]]] = []
    for number, line in enumerate(decoded(content, file).split("\n"), 1):
        where = f"{file}, line {number}"
        try:
            row = json.loads(line) if line.strip() else {}
        except (ValueError, RecursionError) as error:
            raise TouchstoneError(f"{where}: not JSON ({one_line(error)}); correct the line") from error
        if not isinstance(row, dict):
            raise TouchstoneError(f'{where}: got {line[:40]!r}, expected an object such as {{"file_name": ...}}')
        if row:
            rows.append((where, row))
    columns = list(dict.fromkeys(name for _, row in rows for name in row))
    return Table(file, columns, lambda: ((where, dict.fromkeys(columns) | row) for where, row in rows))


def _parquet(content: bytes, file: str) -> Table:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise TouchstoneError(
            f"{file}: Parquet needs pyarrow; install it with pip install 'touchstone[parquet]'"
        ) from None
    try:
        opened = pq.ParquetFile(pa.BufferReader(content))
        schema = opened.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise TouchstoneError(f"{file}: not a readable Parquet file ({one_line(error)}); get it again") from error
    pictures = [each.name for each in schema if _holds_bytes(each.type)]
    names = _class_names(schema.metadata or {}, file)
    return Table(file, schema.names, lambda: _parquet_rows(opened, file), names, pictures)


def _holds_bytes(kind: "pyarrow.DataType") -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _parquet_rows(opened: "pyarrow.parquet.ParquetFile", file: str) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa

    number = 0
    try:
        for batch in opened.iter_batches(batch_size=ROWS):
            for row in batch.to_pylist():
                number += 1
                yield f"{file}, row {number}", row
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise TouchstoneError(f"{file}: damaged after row {number} ({one_line(error)}); get it again") from error


def _class_names(metadata: dict[bytes, bytes], file: str) -> dict[str, list[str]]:
    """Return column -> class names, by the features that the library `datasets` writes beside the schema."""
    try:
        info = json.loads(metadata.get(b"huggingface", b"{}"))
        features = info.get("info", {}).get("features", {})
        found = {}
        for name, feature in features.items():
            inner = feature.get("feature", feature) if isinstance(feature, dict) else {}  # of a list of labels
            if isinstance(inner, dict) and inner.get("_type") == "ClassLabel":
                found[name] = [class_name(str(each), where=f"{file}: {name}") for each in inner["names"]]
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise TouchstoneError(f"{file}: its features are damaged ({one_line(error)}); write the file again") from error
    return found


READERS: dict[str, Callable[[bytes, str], Table]] = {
    ".csv": _comma_separated,
    ".tsv": lambda content, file: _delimited(decoded(content, file), file, "\t"),
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}

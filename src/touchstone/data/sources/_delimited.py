"""Delimited text as spreadsheets and other systems write it: its encoding, its delimiter, its rows and their cells."""

import csv
import io
from collections.abc import Collection, Iterator

from touchstone.errors import TouchstoneError

DELIMITERS = (",", ";", "\t")


def decoded(content: bytes, file: str) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with its mark. Raises TouchstoneError on other bytes."""
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise TouchstoneError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from error


def delimiter_of(text: str, known: Collection[str]) -> str:
    """Return the delimiter that gives the most known names of columns, in lower case, else the first in the header."""
    header = text.lstrip("\r\n").splitlines()[0] if text.strip() else ""

    def fit(delimiter: str) -> tuple[int, bool]:
        names = [plain(name).lower() for name in header.split(delimiter)]
        return sum(name in known for name in names), delimiter in header

    return max(DELIMITERS, key=fit)


def rows(text: str, file: str, *, delimiter: str, skip_blanks: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield the header and the rows that are not empty, each with the number of its first line.

    skip_blanks: whether blanks after a delimiter are dropped. Raises TouchstoneError on open quotes and the like.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter, skipinitialspace=skip_blanks)
    lines = 0
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield lines + 1, row
            lines = reader.line_num
    except csv.Error as error:
        kind = "TSV" if file.lower().endswith(".tsv") else "CSV"
        raise TouchstoneError(f"{file}: not a {kind} file in UTF-8 ({error}); save it as one") from error


def plain(name: str) -> str:
    """Return the name of a column without blanks and quotes at its ends."""
    return name.strip().strip('"')


def cells_of(header: list[str], row: list[str], where: str) -> dict[str, str]:
    """Return column -> cell, without columns called "" and empty cells beyond the last column.

    Raises TouchstoneError where a cell is lacking or too many.
    """
    if len(row) < len(header) or any(cell.strip() for cell in row[len(header) :]):
        raise TouchstoneError(f"{where}: got {len(row)} cells, expected {len(header)}: {','.join(header)}")
    return {name: cell for name, cell in zip(header, row, strict=False) if name}

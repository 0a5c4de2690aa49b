"""A table of text, and what is made of it: CSV and Markdown."""

import base64
import csv
import html
import io
import re
from dataclasses import dataclass, field, replace
from itertools import takewhile


@dataclass(frozen=True)
class Table:
    """A header and rows of text."""

    align: str
    """l or r for each column."""
    header: list[str]
    rows: list[list[str]]
    verdicts: dict[tuple[int, int], str] = field(default_factory=dict)
    """(row, column) -> the verdict that colours a cell or stands beside it."""


def csv_text(table: Table) -> str:
    """The table as CSV, with the cells as they are printed."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([table.header, *table.rows])
    return buffer.getvalue()


def csv_uri(text: str) -> str:
    """CSV as a data: URI, to download from the page itself."""
    return "data:text/csv;base64," + base64.b64encode(text.encode()).decode("ascii")


def escape(text: str) -> str:
    """Escape text for Markdown: no HTML, no emphasis, no new cell."""
    text = " ".join(str(text).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*|\[\]~])", r"\\\1", text)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


def _unescape(text: str) -> str:
    return html.unescape(re.sub(r"\\(.)", r"\1", text.strip()))


def grid(table: Table) -> str:
    """The table in GitHub-flavoured Markdown."""
    marks = ["---:" if letter == "r" else ":---" for letter in table.align]
    header, *rows = [[escape(cell) for cell in cells] for cells in (table.header, *table.rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, marks, *rows))


def read_grid(lines: list[str], first: str) -> list[dict[str, str]]:
    """Return the rows, by column, of the first table in Markdown as `grid` writes it whose first column is `first`."""
    cells = [[_unescape(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    start = next((at for at, header in enumerate(cells) if header[:1] == [first]), len(cells))
    return [dict(zip(cells[start], row, strict=True)) for row in takewhile(bool, cells[start + 2 :])]


def worded(table: Table) -> str:
    """`grid` with the verdicts of the cells beside their numbers."""
    rows = [
        [f"{cell} {table.verdicts[i, j]}" if (i, j) in table.verdicts else cell for j, cell in enumerate(row)]
        for i, row in enumerate(table.rows)
    ]
    return grid(replace(table, rows=rows))

"""A table of text, which the HTML and the Markdown print alike."""

import base64
import csv
import io
from dataclasses import dataclass, field


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
    """The table as CSV, its cells as they are printed."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([table.header, *table.rows])
    return buffer.getvalue()


def csv_uri(text: str) -> str:
    """CSV as a data: URI, to download from the page itself."""
    return "data:text/csv;base64," + base64.b64encode(text.encode()).decode("ascii")

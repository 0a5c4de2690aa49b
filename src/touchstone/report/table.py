"""A table of text, which the HTML and the Markdown print alike."""

import base64
import csv
import io
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """align: l or r for each column. verdicts: (row, column) -> the word that colours a cell or stands beside it."""

    align: str
    header: list[str]
    rows: list[list[str]]
    verdicts: dict[tuple[int, int], str] = field(default_factory=dict)


def csv_text(table: Table) -> str:
    """The table as CSV, its cells as they are printed."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([table.header, *table.rows])
    return buffer.getvalue()


def csv_uri(text: str) -> str:
    """CSV as something to download that lies in the page itself."""
    return "data:text/csv;base64," + base64.b64encode(text.encode()).decode("ascii")

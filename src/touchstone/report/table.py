"""A table of text, which the HTML and the Markdown print alike."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """align: l or r for each column. verdicts: (row, column) -> the word that colours a cell or stands beside it."""

    align: str
    header: list[str]
    rows: list[list[str]]
    verdicts: dict[tuple[int, int], str] = field(default_factory=dict)

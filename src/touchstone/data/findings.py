"""Findings about a user's data that readers of the results should know.

A source notes what it finds in `findings.csv` of the raw data; preparation adds its own and keeps all of them in
`findings/warnings.csv`, which the report and `touchstone repro` show, also when nothing had to run. They show those of
images that were made elsewhere as well, which the stage `collect` leaves beside each set.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd


class Finding(NamedTuple):
    """Something that a user should look at."""

    kind: str
    """A word or two: layout, left out, conflict, repeat, near copy, dark."""
    text: str
    """A sentence: what was found, and what to do about it where that is not plain."""


def write(file: Path, findings: Iterable[Finding]) -> None:
    """Write a table of findings."""
    table = pd.DataFrame(list(findings), columns=["kind", "text"])
    table.to_csv(file, index=False, lineterminator="\n")


def read(file: Path) -> list[Finding]:
    """Return the findings in a table; none where there is no such file, which a source writes only if need be."""
    if not file.is_file():
        return []
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    return [Finding(kind, text) for kind, text in table[["kind", "text"]].itertuples(index=False)]


def of_added(folder: Path) -> list[Finding]:
    """Return the findings about images that were made elsewhere, after the names of their sets.

    folder: what the stage `collect` wrote, which has a folder for each set.
    """
    return [
        Finding(kind, f"{file.parent.name}: {text}")
        for file in sorted(folder.glob("*/findings.csv"))
        for kind, text in read(file)
    ]

"""Tells what a source found in a user's data: printed, and kept in `findings.csv` for the report."""

from collections.abc import Iterable
from pathlib import Path

from touchstone.data import findings
from touchstone.data.findings import Finding
from touchstone.data.hidden import Aside
from touchstone.data.wording import count

FILE = "findings.csv"  # of the raw data


def tell(
    path: Path, to: Path, *, notes: Iterable[str] = (), left_out: Iterable[str] = (), aside: Aside | None = None
) -> None:
    """Print each line after `path`, and write them to `findings.csv` in the folder `to`, if there are any.

    notes: how the layout was read. left_out: what was left out, beside what `aside` has noted.
    """
    found = [Finding("layout", note) for note in notes]
    found += [Finding("left out", line) for line in (*left_out, *(aside or Aside()).lines())]
    for finding in found:
        print(f"{path}: {finding.text}")
    if found:
        findings.write(to / FILE, found)


def unlisted(names: Iterable[str], what: str, one: str = "") -> list[str]:
    """Return a line with the number of names and the first three of them, none where there are no names.

    what: what several of them are, such as `images that no table lists`. one: the same of one, by default with `image`.
    """
    left_out = sorted(names)
    more = ", ..." if len(left_out) > 3 else ""
    number = count(len(left_out), one or what.replace("images", "image", 1), what)
    return [f"left out {number}: {', '.join(left_out[:3])}{more}"] if left_out else []

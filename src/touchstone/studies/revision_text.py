"""The comparison of two revisions as text: a table for the terminal, Markdown for a review, JSON for programs."""

import json
from dataclasses import asdict

from touchstone.evaluation.metrics import named
from touchstone.report.table import Table, grid
from touchstone.report.words import MINUS, number, percent, points
from touchstone.studies.revisions import RevisionComparison


def text(comparison: RevisionComparison) -> str:
    """Aligned columns, then the notes."""
    rows = table(comparison)
    cells = [rows.header, *rows.rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(rows.header))]
    lines = [
        "  ".join(
            cell.rjust(width) if align == "r" else cell.ljust(width)
            for cell, width, align in zip(row, widths, rows.align, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join([*(lines if rows.rows else []), *notes(comparison)])


def markdown(comparison: RevisionComparison) -> str:
    """GitHub's Markdown."""
    head = [f"### {comparison.after} compared with {comparison.before}", ""]
    body = [grid(table(comparison)), ""] if comparison.changes else []
    return "\n".join([*head, *body, *(f"- {note}" for note in notes(comparison))])


def as_json(comparison: RevisionComparison) -> str:
    """All fields, unrounded."""
    return json.dumps(asdict(comparison), indent=2)


def table(comparison: RevisionComparison) -> Table:
    """One row for each metric of each run that changed."""
    before, after = comparison.before, comparison.after
    header = ["run or ensemble", "metric", before, after, "change", "interval", "p by Holm", "verdict"]
    rows = []
    for change in comparison.changes:
        metric = named(change.metric)
        value, difference = (percent, points) if metric.share else (number, _signed)
        means = [value(change.before), value(change.after), difference(change.after - change.before)]
        interval = f"{difference(change.low)} to {difference(change.high)}"
        rows.append([change.run, metric.heading, *means, interval, number(change.p_value, 4), change.verdict])
    return Table("llrrrrrl", header, rows)


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", MINUS)


def notes(comparison: RevisionComparison) -> list[str]:
    """The result as a whole, then what limits the comparison."""
    verdicts = [change.verdict for change in comparison.changes]
    better, worse = verdicts.count("better"), verdicts.count("worse")
    if not verdicts:
        summary = "No prediction differs."
    elif better or worse:
        summary = f"Of {len(verdicts)} metrics that changed, {better} are better and {worse} worse."
    else:
        summary = "Seeds and test images alone could explain every change."
    same = [f"Same predictions: {', '.join(comparison.unchanged)}."] if comparison.unchanged else []
    return [summary, *same, *comparison.notes]

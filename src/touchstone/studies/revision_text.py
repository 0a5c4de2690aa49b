"""What a comparison of two revisions says: a table for the terminal, Markdown for a review, JSON for programs."""

import json
from dataclasses import asdict

from touchstone.report.markdown import grid
from touchstone.report.table import Table
from touchstone.report.words import MINUS, number, percent, points
from touchstone.studies.revisions import Change, Report

SHARES = ("accuracy", "macro_f1", "map")  # in per cent
NAMES = {
    "accuracy": "accuracy %",
    "macro_f1": "macro F1 %",
    "map": "mean AP %",
    "nll": "NLL",
    "ece": "ECE",
}


def text(report: Report) -> str:
    """Aligned columns, then notes."""
    found = table(report)
    rows = [found.header, *found.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(found.header))]
    lines = [
        "  ".join(
            cell.rjust(width) if align == "r" else cell.ljust(width)
            for cell, width, align in zip(row, widths, found.align, strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*(lines if found.rows else []), *said(report)])


def markdown(report: Report) -> str:
    """GitHub's Markdown."""
    head = [f"### {report.after} beside {report.before}", ""]
    body = [grid(table(report)), ""] if report.changes else []
    return "\n".join([*head, *body, *(f"- {note}" for note in said(report))])


def as_json(report: Report) -> str:
    """All there is, unrounded."""
    return json.dumps(asdict(report), indent=2)


def table(report: Report) -> Table:
    """A row a metric of a run that changed."""
    header = ["run or ensemble", "metric", report.before, report.after, "change", "interval", "p by Holm", "verdict"]
    rows = [[change.run, NAMES[change.metric], *_numbers(change), change.verdict] for change in report.changes]
    return Table("llrrrrrl", header, rows)


def _numbers(change: Change) -> list[str]:
    difference, shown = change.after - change.before, percent if change.metric in SHARES else number
    signed = points if change.metric in SHARES else _signed
    ends = f"{signed(change.low)} to {signed(change.high)}"
    return [shown(change.before), shown(change.after), signed(difference), ends, number(change.p_value, 4)]


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", MINUS)


def said(report: Report) -> list[str]:
    """What limits the comparison, and what it says as a whole."""
    words = [change.verdict for change in report.changes]
    if not words:
        summary = ["No prediction differs."]
    elif {"better", "worse"} & set(words):
        summary = [
            f"{words.count('better')} metrics are better, {words.count('worse')} worse, of {len(words)} that changed."
        ]
    else:
        summary = ["Every change is within what seeds and test images leave open."]
    same = [f"The same predictions: {', '.join(report.unchanged)}."] if report.unchanged else []
    return [*summary, *same, *report.notes]

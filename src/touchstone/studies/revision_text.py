"""The comparison of two revisions as text: a table for the terminal, Markdown for a review, JSON for programs."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from touchstone.evaluation.compare import TOO_FEW
from touchstone.evaluation.metrics import Metric, named
from touchstone.report.table import Table, escape, grid
from touchstone.report.words import MINUS, Fragment, Sentence, joined, listing, number, percent, points
from touchstone.studies.revisions import Change, RevisionComparison

LONG_HASH = re.compile(r"(?=\d*[a-f])[0-9a-f]{12,64}")
SHORT = 7  # characters of a hash, as git shows it
MOST_NAMES = 4  # in the headline; more runs are counted


def short(revision: str) -> str:
    """The name of a revision, a long hash cut to seven characters."""
    return revision[:SHORT] if LONG_HASH.fullmatch(revision) else revision


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
    head = f"{short(comparison.after)} (after) compared with {short(comparison.before)} (before)"
    return "\n".join([head, *(lines if rows.rows else []), summary(comparison), *limits(comparison)])


def markdown(comparison: RevisionComparison) -> str:
    """GitHub's Markdown: the first metric in a short table, the others folded, then the notes."""
    title = f"### {short(comparison.after)} compared with {short(comparison.before)}"
    parts = [title, "".join(_marked(part) for part in headline(comparison))]
    others = [change for change in comparison.changes if change not in primary(comparison)]
    if comparison.changes:
        parts.append(grid(first_table(comparison)))
    if others:
        parts += ["<details><summary>Other metrics</summary>", grid(table(comparison, others)), "</details>"]
    if lines := notes(comparison):
        parts.append("\n".join(f"- {line}" for line in lines))
    return "\n\n".join(parts)


def _marked(part: Fragment) -> str:
    return f"**{escape(part.text)}**" if part.style else part.text


def as_json(comparison: RevisionComparison) -> str:
    """All fields, unrounded."""
    return json.dumps(asdict(comparison), indent=2)


def primary(comparison: RevisionComparison) -> list[Change]:
    """The changes of the metric that runs are judged by."""
    return [change for change in comparison.changes if change.metric == comparison.changes[0].metric]


def table(comparison: RevisionComparison, changes: Sequence[Change] | None = None) -> Table:
    """One row for each of the changes, by default for each metric of each run that changed."""
    header = ["run or ensemble", "metric", "before", "after", "change", "interval", "p Holm", "verdict"]
    rows = list[list[str]]()
    verdicts = dict[tuple[int, int], str]()
    for change in comparison.changes if changes is None else changes:
        metric = named(change.metric)
        interval = f"{_difference(metric, change.low)} to {_difference(metric, change.high)}"
        p_value = number(change.p_value, 4)
        verdicts[len(rows), len(header) - 1] = change.verdict
        rows.append([change.run, metric.heading, *means(change), interval, p_value, change.verdict])
    return Table("llrrrrrl", header, rows, verdicts)


def first_table(comparison: RevisionComparison) -> Table:
    """One row for each run that changed, with the metric that runs are judged by."""
    changes = primary(comparison)
    metric = named(changes[0].metric)
    header = ["run or ensemble", f"{metric.heading} before", "after"]
    header += [f"change ({100 * comparison.confidence:g} % interval)", "verdict"]
    rows = []
    for change in changes:
        before, after, value = means(change)
        interval = f"{_difference(metric, change.low)} to {_difference(metric, change.high)}"
        rows.append([change.run, before, after, f"{value} ({interval})", change.verdict])
    return Table("lrrrl", header, rows)


def means(change: Change) -> list[str]:
    """A metric before and after, and its change."""
    metric = named(change.metric)
    value = percent if metric.share else number
    return [value(change.before), value(change.after), _difference(metric, change.after - change.before)]


def _difference(metric: Metric, value: float) -> str:
    return points(value) if metric.share else f"{value:+.3f}".replace("-", MINUS)


def headline(comparison: RevisionComparison) -> Sentence:
    """The runs in which the first metric became better or worse, or that there is no verdict."""
    changes = primary(comparison)
    if not changes:
        return [Fragment("No prediction differs.")]
    name = named(changes[0].metric).name
    found = {word: [change.run for change in changes if change.verdict == word] for word in ("better", "worse")}
    clauses: list[Sentence] = [
        [Fragment(word, word), Fragment(f" in {_where(runs, len(changes))}")] for word, runs in found.items() if runs
    ]
    if clauses:
        rest = len(changes) - sum(map(len, found.values()))
        end = f"; there is no verdict on the other {rest}." if rest else "."
        return [Fragment(f"{name[0].upper()}{name[1:]} is "), *joined(clauses, " and "), Fragment(end)]
    if all(change.verdict == TOO_FEW for change in changes):
        reason = "a single comparison needs at least three replicates"
    else:
        reason = "seeds and test images alone could explain every change"
    return [Fragment(f"There is no verdict on {name}: {reason}.")]


def _where(runs: list[str], total: int) -> str:
    return listing(runs) if len(runs) <= MOST_NAMES else f"{len(runs)} of {total} runs and ensembles"


def notes(comparison: RevisionComparison) -> list[str]:
    """Say what a headline leaves unsaid: the verdicts on all metrics, then what limits the comparison."""
    judged = any(change.verdict in ("better", "worse") for change in comparison.changes)
    return [*([summary(comparison)] if judged else []), *limits(comparison)]


def summary(comparison: RevisionComparison) -> str:
    """The verdicts on all metrics in one sentence."""
    verdicts = [change.verdict for change in comparison.changes]
    better, worse = verdicts.count("better"), verdicts.count("worse")
    if not verdicts:
        return "No prediction differs."
    if better or worse:
        return f"Of {len(verdicts)} metrics that changed, {better} are better and {worse} worse."
    return "Seeds and test images alone could explain every change."


def limits(comparison: RevisionComparison) -> list[str]:
    """The runs that are the same, and what differs between the revisions besides."""
    same = [f"Same predictions: {', '.join(comparison.unchanged)}."] if comparison.unchanged else []
    lines = [*same, *comparison.notes]
    for name in (comparison.before, comparison.after):
        lines = [line.replace(name, short(name)) for line in lines]
    return lines


def parameters(before: Mapping[str, Any], after: Mapping[str, Any]) -> Table:
    """One row for each value of params.yaml that differs; an en dash stands where there is none."""
    flat = [_flat(values) for values in (before, after)]
    keys = [key for key in dict.fromkeys([*flat[0], *flat[1]]) if flat[0].get(key) != flat[1].get(key)]
    return Table(
        "lll", ["parameter", "before", "after"], [[key, *(values.get(key, "–") for values in flat)] for key in keys]
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted key -> value as YAML writes it in one line; a list is one value."""
    out: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            out |= _flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return out

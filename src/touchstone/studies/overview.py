"""Figures that the studies published, beside those measured here: for one recipe, and for all in one table.

recipes/<name>/published.csv has the columns run, validation, test (in per cent) and note, and may have `measure`, a key
of metrics.json other than the one that runs are compared by. What was measured comes from metrics.json in the same
folder, data and budgets from report.md, and minutes of training from cost.json (`studies.cost`).
"""

import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from touchstone.errors import TouchstoneError
from touchstone.evaluation.metrics import primary_key
from touchstone.report.table import Table, grid, read_grid
from touchstone.report.words import percent
from touchstone.studies import cost, made_by

FILE = "published.csv"
MISSING = "–"
REPLICATES = re.compile(r"^- (?:Replicates|Seeds): .*each run was trained (?:once|(\d+) times)", re.M)


class Figure(NamedTuple):
    """A row of published.csv."""

    run: str
    measure: str
    """Its key in metrics.json; "": the one that runs are compared by."""
    validation: str
    """In per cent, as published; "" where no such figure is."""
    test: str
    note: str


def published(source: Path) -> str:
    """Return the published figures of a recipe beside those measured; "" before anything is measured.

    source: its published.csv. Raises TouchstoneError where it names a run that was not measured, or one twice.
    """
    metrics = _metrics(source.parent)
    if not metrics:
        return ""
    rows = []
    for figure in _figures(source, metrics):
        scores = metrics[figure.run]
        key = figure.measure or primary_key(scores)
        measured = [percent(scores.get(name, math.nan)) for name in (f"val_{key}", key)]
        row = [figure.run, figure.validation or MISSING, figure.test or MISSING, *measured]
        rows.append([*row, ", ".join(_remarks(figure, scores))])
    return _text("lrrrrl", ["run", "published: val. %", "test %", "here: val. %", "test %", "note"], rows)


def overview(recipes: Path) -> str:
    """Return every published figure beside what was measured here, or why nothing was; recipes: their folder."""
    header = ["recipe", "run", "published %", "here %", "95 % interval", "training images", "budget"]
    header += ["replicates", "minutes", "runs scored on test", "code", "remarks"]
    rows = []
    for source in sorted(recipes.glob(f"*/{FILE}")):
        folder = source.parent
        metrics, state = _metrics(folder), made_by.state(folder, "study", recipes.parent)
        for figure in _figures(source, metrics):
            if not (figure.validation or figure.test):
                continue
            scores = metrics.get(figure.run, {})
            rows.append(
                [
                    folder.name,
                    figure.run,
                    figure.test or f"{figure.validation} (val.)",
                    *_measured(figure, scores),
                    *_budget(folder, figure.run, metrics),
                    cost.minutes(folder, figure.run) or MISSING,
                    str(len(metrics)) if metrics else MISSING,
                    state.name.lower().replace("_", " ") if metrics else MISSING,
                    ", ".join(_remarks(figure, scores)),
                ]
            )
    return _text("llrrrrlrrrll", header, rows)


def _metrics(folder: Path) -> dict[str, Any]:
    file = folder / "metrics.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def _figures(source: Path, metrics: dict[str, Any]) -> list[Figure]:
    """Return the rows of published.csv, in order. Raises TouchstoneError where the kept runs lack one of theirs."""
    table = pd.read_csv(source, dtype=str, keep_default_na=False)
    if "measure" not in table:
        table["measure"] = ""
    table = table[list(Figure._fields)]
    unknown = [run for run in table["run"] if run not in metrics] if metrics else []
    if unknown or table.duplicated(["run", "measure"]).any():
        kept = source.with_name("metrics.json")
        raise TouchstoneError(f"{source}: expected each run once, of those in {kept}; got {', '.join(table['run'])}")
    return [Figure(*row) for row in table.itertuples(index=False)]


def _remarks(figure: Figure, scores: dict[str, Any]) -> list[str]:
    remarks = [figure.note] if figure.note else []
    return [*remarks, f"diverged: {scores['diverged']}"] if "diverged" in scores else remarks


def _measured(figure: Figure, scores: dict[str, Any]) -> list[str]:
    """Return the score of the split that the published figure is of, and its interval, which only test scores have."""
    if not scores:
        return ["not run", MISSING]
    key = figure.measure or primary_key(scores)
    if not figure.test:
        return [f"{percent(scores.get(f'val_{key}', math.nan))} (val.)", MISSING]
    low, high = (percent(scores.get(f"{key}_{end}", math.nan)) for end in ("low", "high"))
    return [percent(scores.get(key, math.nan)), MISSING if low == MISSING else f"{low} to {high}"]


def _budget(folder: Path, run: str, metrics: dict[str, Any]) -> list[str]:
    """Return a run's number of training images, its budget, phase by phase, and its number of replicates, as reported.

    An ensemble has neither images nor a budget of its own.
    """
    report = folder / "report.md"
    if not metrics or not report.is_file():
        return [MISSING] * 3
    text = report.read_text(encoding="utf-8")
    trained = REPLICATES.search(text)
    replicates = (trained[1] or "1") if trained else MISSING
    images, phases, phase_of = MISSING, [], ""
    for arm in read_grid(text.splitlines(), "arm"):
        for row in read_grid(text.splitlines(), "model"):
            phase_of = row["model"] or phase_of  # a later phase's cell is empty
            if f"{phase_of}-{arm['arm']}" == run:
                images = arm["training images"]
                phases.append(row["budget"])
    return [images, " + ".join(phases) or MISSING, replicates]


def _text(align: str, header: list[str], rows: list[list[str]]) -> str:
    return grid(Table(align, header, rows)) + "\n"

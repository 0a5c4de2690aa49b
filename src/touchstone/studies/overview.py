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

from touchstone.config.load import load
from touchstone.errors import TouchstoneError
from touchstone.evaluation.metrics import primary_key
from touchstone.report.table import Table, grid, read_grid
from touchstone.report.words import percent
from touchstone.studies import cost, made_by

FILE = "published.csv"
MISSING, NOT_RUN = "–", "not run"
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

    source: its published.csv. Raises TouchstoneError where it names a run that the recipe does not have, or one twice.
    """
    metrics = _metrics(source.parent)
    if not metrics:
        return ""
    rows = []
    for figure in _figures(source, metrics):
        scores = metrics.get(figure.run, {})
        measured = [MISSING, NOT_RUN]
        if scores:
            key = figure.measure or primary_key(scores)
            measured = [percent(scores.get(name, math.nan)) for name in (f"val_{key}", key)]
        row = [figure.run, figure.validation or MISSING, figure.test or MISSING, *measured]
        rows.append([*row, ", ".join(_remarks(figure, scores))])
    header = ["run", "published: val. %", "test %", "here: val. %", "test %", "note"]
    return grid(Table("lrrrrl", header, rows)) + "\n"


def overview(recipes: Path) -> str:
    """Return every published figure beside what was measured here, where anything was; recipes: their folder."""
    header = ["recipe", "run", "published %", "here %", "95 % interval", "training images", "budget", "replicates"]
    header += ["minutes", "runs and ensembles scored on test", "code", "remarks"]
    rows = []
    for source in sorted(recipes.glob(f"*/{FILE}")):
        folder = source.parent
        metrics, state = _metrics(folder), made_by.state(folder, "study", recipes.parent)
        of_recipe = [str(len(metrics)), state.name.lower().replace("_", " ")] if metrics else [MISSING, MISSING]
        for figure in _figures(source, metrics):
            scores = metrics.get(figure.run, {})
            run = f"{figure.run}, {figure.measure}" if figure.measure else figure.run
            cost_of_run = [*_budget(folder, figure.run), cost.minutes(folder, figure.run) or MISSING]
            for value, split in ((figure.validation, "val_"), (figure.test, "")):
                if value:
                    beside = [f"{value}{' (val.)' if split else ''}", *_measured(figure, scores, split)]
                    remarks = ", ".join(_remarks(figure, scores))
                    rows.append([folder.name, run, *beside, *cost_of_run, *of_recipe, remarks])
    return grid(Table("llrrrrlrrrll", header, rows)) + "\n"


def _metrics(folder: Path) -> dict[str, Any]:
    file = folder / "metrics.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def _figures(source: Path, metrics: dict[str, Any]) -> list[Figure]:
    """Return the rows of published.csv, in order. Raises TouchstoneError where the recipe lacks a run of theirs.

    A run that the recipe has and metrics.json lacks was added after the figures were made.
    """
    table = pd.read_csv(source, dtype=str, keep_default_na=False)
    if "measure" not in table:
        table["measure"] = ""
    table = table[list(Figure._fields)]
    unknown = [run for run in table["run"] if run not in metrics] if metrics else []
    if unknown:
        settings = load(source.with_name("params.yaml"))
        unknown = [run for run in unknown if run not in (*settings.runs, *settings.ensembles)]
    if unknown or table.duplicated(["run", "measure"]).any():
        raise TouchstoneError(
            f"{source}: expected each run once, of those that the recipe has; got {', '.join(table['run'])}"
        )
    figures = [Figure(*row) for row in table.itertuples(index=False)]
    for figure in figures:
        if figure.measure and figure.measure not in metrics.get(figure.run, {figure.measure: 0}):
            raise TouchstoneError(f"{source}: measure {figure.measure}: metrics.json has no such score of {figure.run}")
    return figures


def _remarks(figure: Figure, scores: dict[str, Any]) -> list[str]:
    remarks = [figure.note] if figure.note else []
    return [*remarks, f"diverged: {scores['diverged']}"] if "diverged" in scores else remarks


def _measured(figure: Figure, scores: dict[str, Any], split: str) -> list[str]:
    """Return the score that a figure is published for, and its interval, which only test scores have.

    split: "val_", or "" for test.
    """
    if not scores:
        return [NOT_RUN, MISSING]
    key = f"{split}{figure.measure or primary_key(scores)}"
    value, low, high = (percent(scores.get(f"{key}{end}", math.nan)) for end in ("", "_low", "_high"))
    return [f"{value} (val.)" if split else value, MISSING if low == MISSING else f"{low} to {high}"]


def _budget(folder: Path, run: str) -> list[str]:
    """Return a run's number of training images, its budget, phase by phase, and its number of replicates, as reported.

    An ensemble has neither images nor a budget of its own.
    """
    report = folder / "report.md"
    if not report.is_file():
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

"""The report's picture of a linear probe, in place of learning curves: each C and its cross-validated log loss."""

import math

import numpy as np

from touchstone.report.charts import Chart, maybe_chart
from touchstone.report.facts import Facts
from touchstone.report.table import Table
from touchstone.report.words import count, number, percent

NUDGE = 1e-6  # in powers of ten, over errors of rounding: a mark is set on the last point before its place
LOSS, ACCURACY = "Cross-validated log loss", "Cross-validated accuracy"


def names(facts: Facts) -> list[str]:
    """The models and finetunes that are probes."""
    return [name for name, model in facts.settings.trained.items() if model.probe is not None]


def about(facts: Facts, model: str) -> str:
    """Say how the head of a probe was fitted, and how its C was chosen."""
    probe = facts.settings.trained[model].probe
    assert probe is not None
    fitted = "A linear probe: its head was fitted by logistic regression on frozen features, without steps"
    if probe.C != "auto":
        return f"{fitted}, with C {probe.C:g} as params.yaml gives it."
    several = ", the mean over the replicates" if facts.num_seeds > 1 else ""
    return (
        f"{fitted}. C, the inverse of the regularisation strength, is the one with the lowest log loss on held-out "
        f"training images in {probe.folds}-fold cross-validation{several}. The validation images played no part."
    )


def charts(facts: Facts, model: str) -> list[Chart]:
    """The log loss and the accuracy over C, a line for each arm; none where C was given."""
    tables = {arm: facts.probes[f"{model}-{arm}"] for arm in facts.settings.arms}
    drawn = []
    for title, column in ((LOSS, "log_loss"), (ACCURACY, "accuracy")):
        lines = {arm: table[["C", column]].to_numpy() for arm, table in tables.items() if column in table}
        marks = {arm: _mark(facts, model, arm) for arm in lines}
        drawn += maybe_chart(title, lines, log_x=True, axis="C, log scale", marks=marks)
    return drawn


def table(facts: Facts, model: str) -> Table:
    """A row for each C: the log loss and the accuracy of held-out images on each arm, and how often it was chosen."""
    arms = [arm for arm in facts.settings.arms if "log_loss" in facts.probes[f"{model}-{arm}"]]
    header, rows = ["C"], []
    for arm in arms:
        header += [f"{arm}: log loss", f"{arm}: accuracy, %", f"{arm}: chosen by"]
    for C in sorted({C for arm in arms for C in facts.probes[f"{model}-{arm}"]["C"]}):
        cells = [f"{C:g}"]
        for arm in arms:
            tried = facts.probes[f"{model}-{arm}"].set_index("C")
            cells += _cells(tried.loc[C].to_dict(), facts.num_seeds) if C in tried.index else ["–", "–", ""]
        rows.append(cells)
    return Table("l" + "rrr" * len(arms), header, rows)


def _cells(row: dict[str, float], num_seeds: int) -> list[str]:
    chosen = round(row["chosen"] * num_seeds)
    by = f"{chosen} of {count(num_seeds, 'replicate')}" if num_seeds > 1 else "yes"
    return [number(row["log_loss"]), percent(row["accuracy"], 1), by if chosen else ""]


def _mark(facts: Facts, model: str, arm: str) -> tuple[float, str]:
    """The place on the axis of the C that most replicates chose, the lowest such C, and its label."""
    tried = facts.probes[f"{model}-{arm}"]
    C = float(tried["C"].iloc[int(np.argmax(tried["chosen"]))])
    return math.log10(C) + NUDGE, f"{arm}: {C:g}, chosen"

"""Results on images with several labels, as tables, charts and sentences: they replace confusions and mistakes."""

import numpy as np

from touchstone.report.charts import Chart, maybe_chart
from touchstone.report.facts import Facts, MultiLabelResult, ReportedResult, ScoredImage
from touchstone.report.table import Table
from touchstone.report.words import count, number, percent

FEW = 10  # test images with, or without, a class: with fewer, its average precision is unreliable
KINDS = {  # scores of each class
    "ap": "Average precision",
    "ap_voc": "VOC's own, all-point average precision",
    "tail_accuracy": "Tail accuracy",
    "f1": "F1",
    "accuracy": "Accuracy",
}
SCORES = {
    "mean AP %": "map",
    "sd": "map_sd",
    "its interval": "map_interval",
    "constant %": "map_constant",
    "VOC's AP %": "map_voc",
    "val %": "val_map",
    "tail accuracy %": "tail_accuracy",
    "accuracy %": "accuracy",
    "micro F1 %": "micro_f1",
    "macro F1 %": "macro_f1",
    "NLL": "nll",
    "ECE": "ece",
}
"""Heading of the table of scores -> key in metrics.json."""


def class_scores(facts: Facts, kind: str) -> Table:
    """Class x run: one of KINDS in per cent; beside it the number of test images with the class."""
    has_constant = kind in ("ap", "ap_voc")
    header = ["class", "test images", "with it"] + (["constant %"] if has_constant else [])
    tables = [_of(result).classes for result in facts.results]
    rows = []
    for k, name in enumerate(facts.classes):
        first = tables[0].iloc[k]
        row = [name, f"{int(first['n_test']):,}", f"{int(first['n_positive']):,}"]
        row += [percent(first["ap_constant"], 1)] if has_constant else []
        rows.append([*row, *(percent(float(table[kind].iloc[k]), 1) for table in tables)])
    blank = ["", ""] + ([percent(facts.results[0].value("map_constant"), 1)] if has_constant else [])
    rows.append(["mean", *blank, *(percent(float(table[kind].mean()), 1) for table in tables)])
    return Table("l" + "r" * (len(rows[0]) - 1), header + [result.name for result in facts.results], rows)


def thresholds(facts: Facts) -> Table:
    """Class x run: the least probability at which a label is predicted."""
    tables = [_of(result).classes for result in facts.results]
    columns = [[number(float(value), 2) for value in table["threshold"]] for table in tables]
    rows = [list(row) for row in zip(facts.classes, *columns, strict=True)]
    return Table("l" + "r" * len(tables), ["class", *(result.name for result in facts.results)], rows)


def co_occurrence(labels: np.ndarray) -> np.ndarray:
    """Labels (N, K) -> int64 (K, K): the number of images that have both classes."""
    has_class = (labels == 1).astype(np.int64)
    return has_class.T @ has_class


def together(facts: Facts) -> Table:
    """Class x class: the number of training images with both; on the diagonal, the number with the class."""
    counts = facts.co_occurrence.tolist()
    rows = [[name, *(f"{count:,}" for count in row)] for name, row in zip(facts.classes, counts, strict=True)]
    return Table("l" + "r" * len(facts.classes), ["class", *facts.classes], rows)


def curves(facts: Facts, model: str) -> list[Chart]:
    """Precision against recall: a chart for each class, a line for each arm."""
    tables = {arm: _of(facts.result(f"{model}-{arm}")).curves for arm in facts.settings.arms}
    drawn = []
    for name in facts.classes:
        lines = {arm: t.loc[t["class"] == name, ["recall", "precision"]].to_numpy(float) for arm, t in tables.items()}
        drawn += maybe_chart(name, lines, shares_of="recall")
    return drawn


def warnings(facts: Facts) -> list[str]:
    """A sentence for each class whose average precision on these test images is unreliable or undefined."""
    sentences = []
    for name, row in zip(facts.classes, _of(facts.results[0]).classes.to_dict("records"), strict=True):
        positive, total = int(row["n_positive"]), int(row["n_test"])
        if not positive:
            sentences.append(f"{name}: no test image has it, so it has no average precision and counts in no mean.")
        elif min(positive, total - positive) < FEW:
            fewer, verb = (positive, "have") if positive <= total - positive else (total - positive, "lack")
            sentences.append(
                f"{name}: only {fewer:,} of {count(total, 'test image')} {verb} it; its average precision depends on "
                f"these few, and a constant prediction reaches {percent(row['ap_constant'], 1)} %."
            )
    return sentences


def extremes(facts: Facts) -> Table:
    """For every run and class, the test image with the highest score and the one with the lowest."""
    rows = [
        [result.name, ranked.name, _first(ranked.top), _first(ranked.bottom)]
        for result in facts.results
        for ranked in _of(result).ranked
    ]
    return Table("llll", ["run or ensemble", "class", "highest score", "lowest score"], rows)


def _first(images: tuple[ScoredImage, ...]) -> str:
    if not images:
        return "–"
    return f"{images[0].file} {number(images[0].score)} ({'has it' if images[0].has_class else 'lacks it'})"


def summary(result: ReportedResult) -> str:
    """The numbers of images shown that are ranked on the right side."""
    top = [image.has_class for ranked in _of(result).ranked for image in ranked.top]
    bottom = [not image.has_class for ranked in _of(result).ranked for image in ranked.bottom]
    return f"{sum(top)} of {len(top)} at the top have their class, {sum(bottom)} of {len(bottom)} at the bottom lack it"


def _of(result: ReportedResult) -> MultiLabelResult:
    assert result.multi_label is not None
    return result.multi_label

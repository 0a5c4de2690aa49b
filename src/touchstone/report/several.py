"""Facts of images with several labels -> tables and sentences, in the place of confusion matrices and mistakes."""

import numpy as np

from touchstone.report.charts import Chart, chart
from touchstone.report.facts import Facts, Scored, Shown
from touchstone.report.table import Table
from touchstone.report.words import count, number, percent

FEW = 10  # test images with, or without, a class: below that its average precision says little
KINDS = {
    "ap": "Average precision",
    "ap_voc": "VOC's own, all-point average precision",
    "tail_accuracy": "Tail accuracy",
    "f1": "F1",
    "accuracy": "Accuracy",
}


def scores(facts: Facts) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the table of all scores, without its comparisons."""
    header = ["mean AP %", "sd", "its interval", "constant %", "VOC's AP %"]
    header += ["val %", "tail accuracy %", "accuracy %", "micro F1 %", "macro F1 %", "NLL", "ECE"]
    return header, [_scores(entry, facts) for entry in facts.entries]


def _scores(entry: Scored, facts: Facts) -> list[str]:
    def shown(*keys: str) -> list[str]:
        return [percent(entry.value(key)) for key in keys]

    sd = percent(entry.value("map_sd")) if facts.num_seeds > 1 else "–"
    row = [*shown("map"), sd, f"{percent(entry.value('map_low'))} to {percent(entry.value('map_high'))}"]
    row += shown("map_constant", "map_voc", "val_map", "tail_accuracy", "accuracy", "micro_f1", "macro_f1")
    return [*row, number(entry.value("nll")), number(entry.value("ece"))]


def of_classes(facts: Facts, kind: str) -> Table:
    """Class x run: one of KINDS in per cent; beside it how many test images have the class."""
    first = facts.entries[0].several
    assert first is not None
    header = ["class", "test images", "with it"] + (["constant %"] if kind in ("ap", "ap_voc") else [])
    rows = []
    for k, name in enumerate(facts.classes):
        known = first.classes.iloc[k]
        row = [name, f"{int(known['n_test']):,}", f"{int(known['n_positive']):,}"]
        row += [percent(known["ap_constant"], 1)] if kind in ("ap", "ap_voc") else []
        rows.append([*row, *(percent(_value(entry, k, kind), 1) for entry in facts.entries)])
    means = [_mean(entry, kind) for entry in facts.entries]
    blank = ["", ""] + ([percent(facts.entries[0].value("map_constant"), 1)] if kind in ("ap", "ap_voc") else [])
    rows.append(["mean", *blank, *(percent(mean, 1) for mean in means)])
    return Table("l" + "r" * (len(header) + len(means) - 1), header + [e.name for e in facts.entries], rows)


def _value(entry: Scored, k: int, kind: str) -> float:
    assert entry.several is not None
    return float(entry.several.classes.iloc[k][kind])


def _mean(entry: Scored, kind: str) -> float:
    assert entry.several is not None
    found = entry.several.classes[kind].dropna()
    return float(found.mean()) if len(found) else float("nan")


def thresholds(facts: Facts) -> Table:
    """Class x run: from which probability on a label is predicted."""
    rows = [
        [name, *(number(_value(entry, k, "threshold"), 2) for entry in facts.entries)]
        for k, name in enumerate(facts.classes)
    ]
    return Table("l" + "r" * len(facts.entries), ["class", *(e.name for e in facts.entries)], rows)


def together(facts: Facts) -> Table:
    """Class x class: how many training images have both; on the diagonal, how many have the class."""
    rows = [[name, *(f"{n:,}" for n in row)] for name, row in zip(facts.classes, facts.together.tolist(), strict=True)]
    return Table("l" + "r" * len(facts.classes), ["class", *facts.classes], rows)


def curves(facts: Facts, model: str) -> list[Chart]:
    """Precision against recall: a chart a class, a line an arm."""
    charts = []
    for name in facts.classes:
        series = {}
        for arm in facts.params.arms:
            several = facts.entry(f"{model}-{arm}").several
            assert several is not None
            found = several.curves[several.curves["class"] == name][["recall", "precision"]].to_numpy(float)
            if len(found):
                series[arm] = found
        if series:
            charts.append(chart(name, series, shares_of="recall"))
    return charts


def thin(facts: Facts) -> list[str]:
    """A sentence for each class of which average precision says little on these test images, or nothing."""
    several = facts.entries[0].several
    assert several is not None
    out = []
    for name, known in zip(facts.classes, several.classes.to_dict("records"), strict=True):
        there, total = int(known["n_positive"]), int(known["n_test"])
        if not there:
            out.append(f"{name}: no test image has it; it has no average precision and is in no mean.")
        elif min(there, total - there) < FEW:
            which = f"{there:,} have" if there <= total - there else f"{total - there:,} lack"
            out.append(
                f"{name}: only {which} it, of {count(total, 'test image')}; its average precision hangs on these few, "
                f"and an answer that is the same for all images reaches {percent(known['ap_constant'], 1)} %."
            )
    return out


def ends(facts: Facts) -> Table:
    """Of every run and class the test image with the highest score, and the one with the lowest."""
    rows = []
    for entry in facts.entries:
        assert entry.several is not None
        for found in entry.several.ranked:
            rows.append([entry.name, found.name, *(_first(end) for end in (found.top, found.bottom))])
    return Table("llll", ["run or ensemble", "class", "highest score", "lowest score"], rows)


def _first(end: tuple[Shown, ...]) -> str:
    if not end:
        return "–"
    return f"{end[0].file} {number(end[0].score)} ({'has it' if end[0].there else 'lacks it'})"


def right(entry: Scored) -> str:
    """How many of the images shown are where they belong."""
    assert entry.several is not None
    top = [shown.there for found in entry.several.ranked for shown in found.top]
    bottom = [not shown.there for found in entry.several.ranked for shown in found.bottom]
    return f"{sum(top)} of {len(top)} at the top have their class, {sum(bottom)} of {len(bottom)} at the bottom lack it"


def co_occurrence(labels: np.ndarray) -> np.ndarray:
    """Labels (N, K) -> int64 (K, K): images that have both classes."""
    there = (labels == 1).astype(np.int64)
    return there.T @ there

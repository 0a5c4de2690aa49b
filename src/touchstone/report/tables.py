"""Facts -> tables of text, which the HTML and the Markdown print alike."""

import math

import pandas as pd

from touchstone.data.levels import how_shown
from touchstone.data.splits import LABELLED
from touchstone.report import multi_label
from touchstone.report.facts import AuditedSet, Facts, ReportedResult
from touchstone.report.table import Table
from touchstone.report.words import confidence, count, number, percent, points

SCORES = {
    "accuracy %": "accuracy",
    "sd": "accuracy_sd",
    "val %": "val_accuracy",
    "macro F1 %": "macro_f1",
    "NLL": "nll",
    "ECE": "ece",
}
"""Heading of the table of scores -> key in metrics.json; with several labels, see multi_label.py."""


def class_counts(facts: Facts) -> Table:
    """Images of each class and split, and their sums; where images have several labels, also the number of images."""
    splits = list(LABELLED)
    rows = [[name, *(f"{n:,}" for n in numbers)] for name, *numbers in facts.counts[["class", *splits]].to_numpy()]
    rows.append(["all labels" if facts.multi_label else "all", *(f"{n:,}" for n in facts.counts[splits].sum())])
    if facts.multi_label:
        for name, key in (("images", "num"), ("images without a label", "num_without_label")):
            rows.append([name, *(f"{facts.findings[f'{key}_{split}']:,}" for split in splits)])
    return Table("lrrr", ["class", *splits], rows)


def arms(facts: Facts) -> Table:
    """The training images of each arm."""
    rows = []
    for name, arm in facts.settings.arms.items():
        adds = list(arm.add)
        adds += [f"ratio {arm.ratio:g}"] if arm.ratio else []
        adds += [f"at most {arm.per_class} a class"] if arm.per_class else []
        adds += [f"alone for {percent(arm.pretrain_share, 0)} % of the steps"] if arm.schedule == "pretrain" else []
        real, added = facts.arm_sizes[name]
        role = "baseline" if name == facts.settings.compare.baseline else ""
        rows.append([name, ", ".join(adds) or "nothing", f"{real:,}", f"{added:,}", f"{real + added:,}", role])
    return Table("llrrrl", ["arm", "adds", "real", "added", "training images", "role"], rows)


def accuracies(facts: Facts) -> Table:
    """Model x arm: test accuracy, or mean average precision, in per cent, mean ± sd over the replicates."""
    names = list(facts.settings.arms)
    rows: list[list[str]] = []
    verdicts: dict[tuple[int, int], str] = {}
    for i, model in enumerate(facts.settings.trained):
        results = [facts.result(f"{model}-{arm}") for arm in names]
        cells = [percent(result.value(facts.measure)) for result in results]
        if facts.num_seeds > 1:
            sds = [percent(result.value(f"{facts.measure}_sd")) for result in results]
            cells = [f"{cell} ± {sd}" for cell, sd in zip(cells, sds, strict=True)]
        rows.append([model, *cells])
        verdicts |= {(i, j): result.status for j, result in enumerate(results, 1) if result.status}
    header = [f"{arm} (baseline)" if arm == facts.settings.compare.baseline else arm for arm in names]
    return Table("l" + "r" * len(names), ["model", *header], rows, verdicts)


def scores(facts: Facts) -> Table:
    """Every run and ensemble with its scores and its gain over its baseline."""
    columns = multi_label.SCORES if facts.multi_label else SCORES
    rows: list[list[str]] = []
    verdicts: dict[tuple[int, int], str] = {}
    for i, result in enumerate(facts.results):
        row = [_score(result, heading, key, facts) for heading, key in columns.items()]
        compared = [points(result.value("gain")), result.interval(), _verdict(result)]
        rows.append([result.name, *row, *compared, str(result.scores.get("baseline", "–"))])
        if result.status:
            verdicts[i, len(columns) + 3] = result.status
    header = ["run or ensemble", *columns, "gain, points", f"{confidence(facts.settings)} interval"]
    return Table("l" + "r" * (len(columns) + 2) + "ll", [*header, "verdict", "against"], rows, verdicts)


def _score(result: ReportedResult, heading: str, key: str, facts: Facts) -> str:
    if heading == "sd":
        return percent(result.value(key)) if facts.num_seeds > 1 else "–"
    if key.endswith("_interval"):
        low, high = (result.value(key.replace("_interval", end)) for end in ("_low", "_high"))
        return f"{percent(low)} to {percent(high)}"
    return percent(result.value(key)) if heading.endswith("%") else number(result.value(key))


def comparisons(facts: Facts) -> Table:
    """Every gain with its p-values, its probability, the detectable gain and the gain over plain copies."""
    compared = [result for result in facts.results if not math.isnan(result.value("gain"))]
    exact = any("exact_p" in result.scores for result in compared)
    over = next((str(result.scores["control"]) for result in compared if "control" in result.scores), "")
    header = ["run or ensemble", "gain, points", "p", "p by Holm"] + (["McNemar's p"] if exact else [])
    header += ["one-sided confidence %", "detectable gain"]
    header += [f"over {over.rsplit('-', 1)[1]}", f"{confidence(facts.settings)} interval"] if over else []
    keys = ("gain_p", "gain_p_holm", "exact_p") if exact else ("gain_p", "gain_p_holm")
    rows = []
    for result in compared:
        row = [result.name, points(result.value("gain")), *(number(result.value(key), 4) for key in keys)]
        row += [percent(result.value("gain_confidence"), 1), percent(result.value("gain_detectable"))]
        row += [points(result.value("control_gain")), result.interval("control_gain")] if over else []
        rows.append([*row, _verdict(result)])
    verdicts = {(i, len(header)): result.status for i, result in enumerate(compared) if result.status}
    return Table("l" + "r" * (len(header) - 1) + "l", [*header, "verdict"], rows, verdicts)


def _verdict(result: ReportedResult) -> str:
    if result.has_diverged:
        return f"diverged: {result.scores['diverged']}"
    return "diverged: its baseline" if result.verdict == "diverged" else result.verdict or "–"


def ensembles(facts: Facts) -> Table:
    """The rule and the members of each ensemble."""
    rows = []
    for name, ensemble in facts.settings.ensembles.items():
        result, weights = facts.result(name), facts.weights.get(name, {})
        left_out = f" (left out: {result.scores['left_out']}, diverged)" if "left_out" in result.scores else ""
        members = ", ".join(ensemble.members) + left_out
        shares = ", ".join(f"{member} {percent(share, 1)} %" for member, share in weights.items() if share)
        row = [name, ensemble.rule, members, ensemble.prefer or "–", shares or "–"]
        row += [percent(result.value("tie_rate")), points(result.value("equal_gain")), result.interval("equal_gain")]
        rows.append(row)
    header = ["ensemble", "rule", "members", "preferred", "weights", "ties %", "gain at equal compute"]
    return Table("lllllrrr", [*header, f"{confidence(facts.settings)} interval"], rows)


def likeness(facts: Facts) -> Table:
    """The likeness of each generated set to real test images; in brackets, that of real training images."""
    header = ["added set", "images", "compared", "Fréchet distance", "to training minus to test images", "KID"]
    header += ["precision", "recall", "density", "coverage", "labels agree %"]
    rows = []
    for audit in _generated(facts):
        row = [audit.name, f"{audit.figures['num_images']:,}", f"{audit.figures['num_matched']:,}"]
        gap = f"{number(audit.value('frechet_gap'))} ± {number(audit.value('frechet_gap_sd'))}"
        row += [_with_sd(audit, "frechet"), gap, _with_floor(audit, "kid", digits=3)]
        row += [_with_floor(audit, key) for key in ("precision", "recall", "density", "coverage")]
        rows.append([*row, _share_with_floor(audit, "label_agreement")])
    return Table("l" + "r" * 10, header, rows)


def copies(facts: Facts) -> Table:
    """The copies in each generated set, by pixels, and its nearness; in brackets, the same for real test images."""
    header = ["added set", "verdict", "exact, training", "near, training", "copies below %", "exact, test"]
    header += ["near, test", "mirrored", "nearer to training %", "z", "p by Holm"]
    rows: list[list[str]] = []
    verdicts: dict[tuple[int, int], str] = {}
    for i, audit in enumerate(_generated(facts)):
        row = [audit.name, audit.verdict, *_found(audit, "training"), percent(audit.value("copies_bound"), 1)]
        row += [*_found(audit, "test"), str(audit.figures["mirrored_training"] + audit.figures["mirrored_test"])]
        row += [percent(audit.value("nearer"), 0), number(audit.value("nearness_z"), 1)]
        rows.append([*row, number(audit.value("nearness_p_holm"), 4)])
        verdicts[i, 1] = audit.verdict
    return Table("l" * 2 + "r" * 9, header, rows, verdicts)


def memorisation(facts: Facts) -> Table:
    """Further measures of memorisation, by features, which decide nothing; in brackets, those of real test images."""
    header = ["added set", "authentic %", "memorised %", "distance ratio", "C_T", "excess C_T"]
    rows = []
    for audit in _generated(facts):
        row = [audit.name, _share_with_floor(audit, "authentic"), _share_with_floor(audit, "memorised")]
        row += [_with_floor(audit, "ratio"), _with_floor(audit, "c_t", digits=1)]
        rows.append([*row, number(audit.value("c_t_excess"), 1)])
    return Table("lrrrrr", header, rows)


def leaks(facts: Facts) -> Table:
    """The copies of test images in each set that a transform made; in brackets, among real training images."""
    header = ["added set", "verdict", "images", "exact, test", "near, test", "mirrored"]
    rows: list[list[str]] = []
    verdicts: dict[tuple[int, int], str] = {}
    for audit in facts.audits:
        if not audit.is_generated:
            verdicts[len(rows), 1] = audit.verdict
            row = [audit.name, audit.verdict, f"{audit.figures['num_images']:,}", *_found(audit, "test")]
            rows.append([*row, str(audit.figures["mirrored_test"])])
    return Table("llrrrr", header, rows, verdicts)


def _generated(facts: Facts) -> list[AuditedSet]:
    return [audit for audit in facts.audits if audit.is_generated]


def _found(audit: AuditedSet, name: str) -> list[str]:
    """The exact copies of the images `name`, and the near ones: `0`, `3 (0.4 %)`."""
    share = f"{percent(audit.value(f'near_{name}_floor'), 1)} %"
    return [str(audit.figures[f"exact_{name}"]), f"{audit.figures[f'near_{name}']} ({share})"]


def _share_with_floor(audit: AuditedSet, key: str) -> str:
    """`87.5 (75.0)`, in per cent."""
    share, floor = (percent(audit.value(f"{key}{end}"), 1) for end in ("", "_floor"))
    return f"{share} ({floor})"


def _with_floor(audit: AuditedSet, key: str, *, digits: int = 2) -> str:
    """`0.98 (0.97)`"""
    return f"{number(audit.value(key), digits)} ({number(audit.value(f'{key}_floor'), digits)})"


def _with_sd(audit: AuditedSet, key: str) -> str:
    """`0.83 ± 0.16 (0.59 ± 0.08)`"""
    figure, floor = (
        f"{number(audit.value(key + end))} ± {number(audit.value(f'{key}{end}_sd'))}" for end in ("", "_floor")
    )
    return figure if math.isnan(audit.value(f"{key}_floor")) else f"{figure} ({floor})"


def class_accuracies(facts: Facts) -> Table:
    """Class x run: accuracy in per cent over all replicates, the diagonal of the confusion matrix."""
    columns = [[percent(share) for share in result.class_accuracy()] for result in facts.results]
    tested = [f"{n:,}" for n in facts.counts["test"]]
    rows = [list(row) for row in zip(facts.classes, tested, *columns, strict=True)]
    return Table("lr" + "r" * len(columns), ["class", "test images", *(result.name for result in facts.results)], rows)


def class_gains(facts: Facts) -> Table:
    """Class x run: the gain in accuracy over the baseline, in points, with the verdicts that are not inconclusive."""
    runs = [(result.name, result.class_gains) for result in facts.results if result.class_gains is not None]
    rows: list[list[str]] = []
    verdicts: dict[tuple[int, int], str] = {}
    for k, name in enumerate(facts.classes):
        gains = [table.iloc[k] for _, table in runs]
        rows.append([name, *(points(float(row["gain"])) for row in gains)])
        verdicts |= {(k, j): row["verdict"] for j, row in enumerate(gains, 1) if row["verdict"] in ("helps", "hurts")}
    return Table("l" + "r" * len(runs), ["class", *(name for name, _ in runs)], rows, verdicts)


def calibration(facts: Facts) -> Table:
    """Likelihood and calibration of every run and ensemble, as predicted and with a temperature."""
    header = ["run or ensemble", "NLL", "ECE", "temperature", "NLL scaled", "ECE scaled"]
    keys = ("nll", "ece", "temperature", "nll_scaled", "ece_scaled")
    rows = [[result.name, *(number(result.value(key)) for key in keys)] for result in facts.results]
    return Table("lrrrrr", header, rows)


def mistakes(facts: Facts, *, each: int) -> Table:
    """The worst `each` predictions of every run and ensemble."""
    rows = [
        [result.name, mistake.file, mistake.true, mistake.predicted, number(mistake.probability)]
        for result in facts.results
        for mistake in result.mistakes[:each]
    ]
    return Table("llllr", ["run or ensemble", "file", "true", "predicted", "probability"], rows)


def frame(data: pd.DataFrame, *, rows: int) -> Table:
    """The first rows of a data frame, as they are."""
    head = data.head(rows).astype(str)
    return Table("l" * head.shape[1], [str(name) for name in head.columns], head.to_numpy().tolist())


def run_facts(facts: Facts) -> list[tuple[str, str]]:
    """The data, seeds and intervals of the run, as pairs of a term and its description."""
    settings, findings, data = facts.settings, facts.findings, facts.settings.data
    colour = {1: "grey", 3: "colour"}.get(data.channels, f"{data.channels} channels")
    colour += " of 16 bits" if data.bits == 16 else ""
    val = f"{findings['num_val']:,} validation" if findings["num_val"] else "no validation"
    over = findings["num_over_train_size"]
    unused = f"; {count(over, 'more training image')} unused (train_size {data.train_size:,})" if over else ""
    copies = "left out" if data.near_duplicates == "drop" else "reported but kept"
    times = "once" if facts.num_seeds == 1 else f"{facts.num_seeds} times"
    over_what = "test images" if facts.num_seeds == 1 else "test images and replicates (min F')"
    vary = {
        "seed": "new seeds",
        "generator": "new seeds and generators",
        "all": f"new training images ({findings.get('num_train_of_a_replicate', 0):,}, of which two share "
        f"{100 * findings.get('overlap', 0.0):.0f} %), generators and seeds",
    }[settings.train.vary]
    repeated = f", each time with {vary}" if facts.num_seeds > 1 else ""
    resamples = f", {settings.compare.num_resamples:,} resamples of the images" if facts.multi_label else ""
    return [
        ("Data source", data.source + (f", fold {data.fold}" if data.fold else "")),
        ("Images", f"{data.image_size} px, {colour}, resized by {data.resize}"),
        *([("Pictures show", how)] if (how := how_shown(data.channels, data.bits)) else []),
        ("Splits", f"{findings['num_train']:,} training, {val}, {count(findings['num_test'], 'test image')}{unused}"),
        ("Unlabelled", count(findings["num_unlabelled"], "image")),
        ("Bad images", f"{findings['num_bad_images']:,} left out"),
        ("Exact copies", f"{findings['num_exact_copies_dropped']:,} left out of training and validation"),
        ("Near copies", f"{findings['num_near_copies']:,} found, {copies}"),
        ("Replicates", f"each run was trained {times}{repeated}"),
        ("Groups", data.group or "none: each image is a group of its own"),
        ("Intervals", f"{confidence(settings)}, over {over_what}{resamples}; for gains simultaneous, by Holm"),
    ]

"""All runs and ensembles, scored and compared with their baselines."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from touchstone.config.schema.evaluation import Compare
from touchstone.evaluation.calibration import reliability, scaled
from touchstone.evaluation.class_gains import class_gains
from touchstone.evaluation.compare import (
    TOO_FEW,
    Comparison,
    Paired,
    compare_paired,
    detectable,
    judge,
    replicate_share,
)
from touchstone.evaluation.ensembles import rotated_means, tied
from touchstone.evaluation.measures import Measure
from touchstone.evaluation.results import Result
from touchstone.evaluation.scores import per_class, per_class_accuracy, precision_recall

DIGITS = 5  # decimals in metrics files: the rest is noise, and rounding keeps diffs short
Row = dict[str, float | str]


def evaluate(results: list[Result], measure: Measure) -> dict[str, Row]:
    """The content of metrics.json: name -> scores and, for a result with a baseline, their comparison (`_verdicts`)."""
    by_name = {result.name: result for result in results}
    verdicts = _verdicts(results, by_name, measure)
    metrics: dict[str, Row] = {}
    for result in results:
        row: Row = {**measure.scores(result.probs, result.thresholds), **measure.dependence(result.probs)}
        if result.val is not None:
            row[f"val_{measure.key}"] = result.val
        if result.temperature is not None:
            row["temperature"] = float(result.temperature.mean())
            at_temperature = scaled(result.probs, result.temperature, multi_label=result.thresholds is not None)
            row |= {f"{key}_scaled": value for key, value in measure.calibration(at_temperature).items()}
        if result.rule == "majority" and len(result.members) > 1:
            row["tie_rate"] = _tie_rate([by_name[name] for name in result.members])
        row |= {"diverged": result.diverged} if result.diverged else {}
        row |= {"left_out": ", ".join(result.left_out)} if result.left_out else {}
        if result.baseline:
            row |= {"baseline": result.baseline} | verdicts[result.name]
        metrics[result.name] = {
            key: round(value, DIGITS) if isinstance(value, float) else value for key, value in sorted(row.items())
        }
    return metrics


def _tie_rate(members: list[Result]) -> float:
    """The share of votes, over seeds and images (and labels), in which the preferred member decides."""
    if members[0].thresholds is None:
        return float(tied(np.stack([member.probs for member in members])).mean())
    votes = sum((m.probs >= m.thresholds).astype(int) for m in members if m.thresholds is not None)
    return float((2 * np.asarray(votes) == len(members)).mean())


def _verdicts(results: list[Result], by_name: dict[str, Result], measure: Measure) -> dict[str, Row]:
    """The comparisons of each result that has a baseline, as rows of metrics.json.

    gain is over the baseline, control_gain over the run on the control arm, equal_gain that of an ensemble over as many
    nets of its best member. Each has <key>_low and <key>_high, its simultaneous interval, and its p-value before and
    after Holm. gain_sd_seeds and gain_sd_images are the standard deviations behind its standard error: from seed to
    seed, as pooled, and of the mean over the seeds from image to image. gain_detectable is that comparison's own; it is
    missing where not even a perfect run could be told apart. Where training of either side diverged, the verdict is
    `diverged` and there is no gain: the seeds that survived are not the baseline's. Two families are adjusted: all
    comparisons of runs on arms, over all models, and all others. The runs of a model are taken to vary alike from seed
    to seed.
    """
    compared = [result for result in results if result.baseline]
    valid = [result for result in compared if not result.diverged and not by_name[result.baseline].diverged]
    rows: dict[str, Row] = {result.name: {"verdict": "diverged"} for result in compared}
    for family in ([r for r in valid if r.pooled_with], [r for r in valid if not r.pooled_with]):
        comparisons = _comparisons(family, by_name, measure)
        tests = len([one for one in comparisons.values() if not one.too_few])
        for ((name, key), one), verdict in zip(comparisons.items(), judge(list(comparisons.values())), strict=True):
            row = {key: one.value, f"{key}_low": max(-1.0, verdict.low), f"{key}_high": min(1.0, verdict.high)}
            rows[name] |= row | {f"{key}_p": one.p_value, f"{key}_p_holm": verdict.p_value}
            if key == "gain":
                rows[name] |= {"verdict": verdict.word, "gain_confidence": one.one_sided_confidence}
                num_seeds, num_images = by_name[name].probs.shape[:2]
                share = replicate_share(num_seeds, measure.overlap)
                rows[name]["gain_sd_seeds"] = math.sqrt(one.terms[1] / share)
                rows[name]["gain_sd_images"] = math.sqrt(one.terms[0] * num_images)
        for result in family:
            baseline = by_name[result.baseline].probs
            if rows[result.name]["verdict"] != TOO_FEW:
                smallest = detectable([comparisons[result.name, "gain"]], tests=tests)
                if smallest < 1 - measure.value(baseline, measure.labels):
                    rows[result.name]["gain_detectable"] = smallest
            exact = measure.exact_p(result.probs, baseline)
            rows[result.name] |= {} if exact is None else {"exact_p": exact}
            rows[result.name] |= {"control": result.control} if (result.name, "control_gain") in comparisons else {}
    return rows


def _comparisons(
    family: list[Result], by_name: dict[str, Result], measure: Measure
) -> dict[tuple[str, str], Comparison]:
    """(name of a result, key in metrics.json) -> comparison, for all that are adjusted together."""
    paired: dict[tuple[str, str], Paired] = {}
    for result in family:
        baseline = by_name[result.baseline].probs
        paired[result.name, "gain"] = measure.compared(result.probs, baseline)
        if result.control and not by_name[result.control].diverged:
            paired[result.name, "control_gain"] = measure.compared(result.probs, by_name[result.control].probs)
        if 1 < len(result.members) <= len(result.probs) and not measure.own_images:
            paired[result.name, "equal_gain"] = _against_equal_compute(result, baseline, measure)
    models = {result.name: result.pooled_with for result in family}

    def alike(name: str, key: str) -> list[Paired]:
        return [
            one for (other, k), one in paired.items() if models[name] and models[other] == models[name] and k == key
        ]

    return {
        (name, key): compare_paired(
            one, confidence=measure.confidence, pooled_with=alike(name, key), overlap=measure.overlap
        )
        for (name, key), one in paired.items()
    }


def _against_equal_compute(result: Result, member: np.ndarray, measure: Measure) -> Paired:
    """An ensemble against as many nets of its best member; member: that one's predictions, (seeds, N, K).

    It needs as many seeds as members, and training images that the seeds share: nets of several training sets know
    more than an ensemble whose members share one. Each of the nets is then in several means, so that these vary too
    little: seeds are averaged, and the interval is over test images alone.
    """
    return measure.compared(result.probs, rotated_means(member, len(result.members))).averaged()


def plots(
    results: list[Result],
    labels: np.ndarray,
    classes: list[str],
    compare: Compare,
    groups: np.ndarray | None = None,
    overlap: float = 0.0,
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(kind, name of a result, table), as `dvc plots` and the report draw them.

    groups: int (N,), where images come in groups. overlap: of the replicates' training images.

    The kinds are reliability, classes and confusion or, with several labels an image, precision_recall.
    """
    gains = class_gains(results, labels, classes, compare, groups, overlap) if labels.ndim == 1 else {}
    for result in results:
        yield "reliability", result.name, _reliability(result, labels)
        if result.thresholds is None:
            table = class_table(result, labels, classes)
            yield "classes", result.name, table.join(gains[result.name]) if result.name in gains else table
            yield "confusion", result.name, confusion_table(result, labels, classes)
        else:
            table = per_class(result.probs, labels, result.thresholds, compare).round(DIGITS)
            yield "classes", result.name, table.assign(**{"class": classes})
            yield "precision_recall", result.name, precision_recall(result.probs, labels, classes).round(DIGITS)


def _reliability(result: Result, labels: np.ndarray) -> pd.DataFrame:
    """confidence, accuracy, images, scaled (0, or 1 with the temperature)."""
    parts = [reliability(result.probs, labels).assign(scaled=0)]
    if result.temperature is not None:
        at_temperature = scaled(result.probs, result.temperature, multi_label=result.thresholds is not None)
        parts.append(reliability(at_temperature, labels).assign(scaled=1))
    return pd.concat(parts, ignore_index=True).round(DIGITS)


def confusion_table(result: Result, labels: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """actual, predicted: a row for each prediction of each seed, which `dvc plots`' confusion template counts."""
    names = np.array(classes)
    return pd.DataFrame(
        {"actual": np.tile(names[labels], len(result.probs)), "predicted": names[result.probs.argmax(2)].ravel()}
    )


def class_table(result: Result, labels: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """class, accuracy (the mean over the seeds), n_test: a row for each class."""
    accuracy = per_class_accuracy(result.probs, labels).round(DIGITS)
    counts = np.bincount(labels, minlength=len(classes))
    return pd.DataFrame({"class": classes, "accuracy": accuracy, "n_test": counts})

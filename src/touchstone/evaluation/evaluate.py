"""All runs and ensembles, scored and compared with their baselines."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from touchstone.config.schema.evaluation import Compare
from touchstone.evaluation.calibration import reliability, scaled
from touchstone.evaluation.class_gains import class_gains
from touchstone.evaluation.compare import INCONCLUSIVE, Comparison, Paired, compare_paired, holm
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
        row: Row = {**measure.scores(result.probs, result.thresholds)}
        if result.val is not None:
            row[f"val_{measure.key}"] = result.val
        if result.temperature is not None:
            row["temperature"] = float(result.temperature.mean())
            at_temperature = scaled(result.probs, result.temperature, multi_label=result.thresholds is not None)
            row |= {f"{key}_scaled": value for key, value in measure.calibration(at_temperature).items()}
        row |= _combined(result, by_name, measure)
        row |= {"diverged": result.diverged} if result.diverged else {}
        row |= {"left_out": ", ".join(result.left_out)} if result.left_out else {}
        if result.baseline:
            row |= {"baseline": result.baseline} | verdicts[result.name]
        metrics[result.name] = {
            key: round(value, DIGITS) if isinstance(value, float) else value for key, value in sorted(row.items())
        }
    return metrics


def _combined(result: Result, by_name: dict[str, Result], measure: Measure) -> Row:
    """For an ensemble: the tie_rate of a majority vote, and equal_gain, the gain over as many nets of its best member.

    The latter needs as many seeds as members. Each of the nets is then in several means, so that these vary too little:
    the interval is over test images alone.
    """
    row: Row = {}
    members = [by_name[name] for name in result.members]
    if result.rule == "majority" and len(members) > 1:
        row["tie_rate"] = _tie_rate(members)
    if 1 < len(members) <= len(result.probs) and not result.diverged and not by_name[result.baseline].diverged:
        rival = rotated_means(by_name[result.baseline].probs, len(members))
        paired = measure.compared(result.probs, rival).seeds_averaged()
        row |= _with_interval("equal_gain", compare_paired(paired, confidence=measure.confidence))
    return row


def _tie_rate(members: list[Result]) -> float:
    """The share of votes, over seeds and images (and labels), in which the preferred member decides."""
    if members[0].thresholds is None:
        return float(tied(np.stack([member.probs for member in members])).mean())
    votes = sum((m.probs >= m.thresholds).astype(int) for m in members if m.thresholds is not None)
    return float((2 * np.asarray(votes) == len(members)).mean())


def _verdicts(results: list[Result], by_name: dict[str, Result], measure: Measure) -> dict[str, Row]:
    """For each result with a baseline: the gain with its interval and p-values, the probability of improvement, the
    smallest detectable gain, the verdict (by the interval and the adjusted p-value), and the gain over the control.

    Where training of either diverged, the verdict is `diverged` and there is no gain: the seeds that survived are not
    the baseline's. The runs of a model are taken to vary alike from seed to seed. The runs on arms other than the
    baseline are adjusted together by Holm, over all models, and so are all other results.
    """
    compared = [result for result in results if result.baseline]
    valid = [result for result in compared if not result.diverged and not by_name[result.baseline].diverged]
    gains = {result.name: measure.compared(result.probs, by_name[result.baseline].probs) for result in valid}
    over_control = {
        result.name: measure.compared(result.probs, by_name[result.control].probs)
        for result in valid
        if result.control and not by_name[result.control].diverged
    }

    def comparison(result: Result, paired: dict[str, Paired]) -> Comparison:
        alike = [one for one in valid if result.pooled_with and one.pooled_with == result.pooled_with]
        pool = [paired[one.name] for one in alike if one.name in paired]
        return compare_paired(paired[result.name], confidence=measure.confidence, pooled_with=pool)

    rows: dict[str, Row] = {result.name: {"verdict": "diverged"} for result in compared}
    for family in ([r for r in valid if r.pooled_with], [r for r in valid if not r.pooled_with]):
        comparisons = [comparison(result, gains) for result in family]
        adjusted = holm([one.p_value for one in comparisons])
        for result, one, p_holm in zip(family, comparisons, adjusted, strict=True):
            row: Row = {"gain": one.value, "gain_low": max(-1.0, one.low), "gain_high": min(1.0, one.high)}
            row |= {"gain_p": one.p_value, "gain_p_holm": p_holm, "gain_chance": one.chance}
            row["gain_detectable"] = one.detectable(len(family))
            row["verdict"] = one.verdict if p_holm <= 1 - one.confidence else INCONCLUSIVE
            exact = measure.exact_p(result.probs, by_name[result.baseline].probs)
            row |= {} if exact is None else {"exact_p": exact}
            if result.name in over_control:
                row["control"] = result.control
                row |= _with_interval("control_gain", comparison(result, over_control))
            rows[result.name] = row
    return rows


def _with_interval(key: str, one: Comparison) -> Row:
    return {key: one.value, f"{key}_low": one.low, f"{key}_high": one.high}


def plots(
    results: list[Result], labels: np.ndarray, classes: list[str], compare: Compare, *, seed: int
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(kind, name of a result, table), as `dvc plots` and the report draw them.

    The kinds are reliability, classes and confusion or, with several labels an image, precision_recall.
    """
    gains = class_gains(results, labels, classes, compare, seed=seed) if labels.ndim == 1 else {}
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

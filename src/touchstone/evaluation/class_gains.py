"""The classes that a run's added images help or hurt: the gain in accuracy of each class, adjusted over all of them."""

import numpy as np
import pandas as pd

from touchstone.config.schema.evaluation import Compare
from touchstone.data.imageset import compact
from touchstone.evaluation.compare import Paired, compare_paired, judge, paired_accuracy
from touchstone.evaluation.results import Result
from touchstone.evaluation.scores import correct

LEAST = 10  # test images of a class; with fewer it gets no gain
DIGITS = 5


def class_gains(
    results: list[Result],
    labels: np.ndarray,
    classes: list[str],
    compare: Compare,
    groups: np.ndarray | None = None,
    overlap: float = 0.0,
) -> dict[str, pd.DataFrame]:
    """Run -> gain, gain_low, gain_high, p_holm, verdict: a row for each class. The baseline has none.

    NaN and "" where a class has too few test images. The variance of seeds is pooled over a model's runs, and Holm's
    adjustment is over its runs and classes. Runs that diverged, or whose baseline did, are left out.
    """
    by_name = {result.name: result for result in results}
    images = {k: labels == k for k in range(len(classes)) if (labels == k).sum() >= LEAST}
    out: dict[str, pd.DataFrame] = {}
    for model in dict.fromkeys(result.pooled_with for result in results if result.pooled_with):
        paired: dict[str, dict[int, Paired]] = {}
        for result in results:
            if result.pooled_with == model and not result.diverged and not by_name[result.baseline].diverged:
                right, before = (correct(one.probs, labels) for one in (result, by_name[result.baseline]))
                paired[result.name] = {
                    k: paired_accuracy(right[:, at], before[:, at], None if groups is None else compact(groups[at]))
                    for k, at in images.items()
                }
        out |= _tables(paired, len(classes), compare, overlap)
    return out


def _tables(
    paired: dict[str, dict[int, Paired]], num_classes: int, compare: Compare, overlap: float
) -> dict[str, pd.DataFrame]:
    """The tables of one model's runs. paired: run -> class -> gain."""
    gains = {
        (name, k): compare_paired(
            one,
            confidence=compare.confidence,
            pooled_with=[run[k] for run in paired.values()],
            overlap=overlap,
        )
        for name, by_class in paired.items()
        for k, one in by_class.items()
    }
    undefined = {"gain": np.nan, "gain_low": np.nan, "gain_high": np.nan, "p_holm": np.nan, "verdict": ""}
    rows: dict[tuple[str, int], dict[str, float | str]] = {}
    for (key, gain), verdict in zip(gains.items(), judge(list(gains.values())), strict=True):
        row = {"gain": gain.value, "gain_low": verdict.low, "gain_high": verdict.high, "p_holm": verdict.p_value}
        rows[key] = row | {"verdict": verdict.word}
    return {
        name: pd.DataFrame([rows.get((name, k), undefined) for k in range(num_classes)]).round(DIGITS)
        for name in paired
    }

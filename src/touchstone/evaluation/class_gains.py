"""Which classes an arm helps or hurts: each class's gain in accuracy, judged together with all others of the model."""

from typing import Any

import numpy as np
import pandas as pd

from touchstone.config.sections import Compare
from touchstone.evaluation.compare import INCONCLUSIVE, Comparison, Paired, conclude, holm, paired_bootstrap
from touchstone.evaluation.results import Entry
from touchstone.evaluation.scores import correct

LEAST = 10  # test images of a class: of fewer nothing is said
DIGITS = 5


def class_gains(
    every: list[Entry], labels: np.ndarray, classes: list[str], compare: Compare, *, seed: int
) -> dict[str, pd.DataFrame]:
    """Name of an arm's run -> gain, gain_low, gain_high, p_holm, verdict: a row a class.

    NaN and "" where a class has too few test images. Seeds are pooled over the arms; Holm's adjustment is over all
    classes and arms of a model. Runs that diverged, or whose baseline did, are left out.
    """
    by_name = {entry.name: entry for entry in every}
    out = {}
    for pool in dict.fromkeys(entry.pool for entry in every if entry.pool):
        members = [e for e in every if e.pool == pool and not e.diverged and not by_name[e.baseline].diverged]
        paired = {e.name: _each(e, by_name[e.baseline], labels, len(classes), compare, seed) for e in members}
        found = {
            name: {
                k: conclude(one, confidence=compare.confidence, pool=[p[k] for p in paired.values()])
                for k, one in each.items()
            }
            for name, each in paired.items()
        }
        places = [(name, k) for name, each in found.items() for k in each]
        adjusted = dict(zip(places, holm([found[name][k].p_value for name, k in places]), strict=True))
        for name, each in found.items():
            rows = [_row(each.get(k), adjusted.get((name, k), np.nan), compare) for k in range(len(classes))]
            out[name] = pd.DataFrame(rows).round(DIGITS)
    return out


def _each(
    entry: Entry, baseline: Entry, labels: np.ndarray, num_classes: int, compare: Compare, seed: int
) -> dict[int, Paired]:
    right, before = correct(entry.probs, labels), correct(baseline.probs, labels)
    rows = {k: labels == k for k in range(num_classes) if (labels == k).sum() >= LEAST}
    how: dict[str, Any] = {"num_resamples": compare.num_resamples, "seed": seed}
    return {k: paired_bootstrap(right[:, here], before[:, here], **how) for k, here in rows.items()}


def _row(found: Comparison | None, p: float, compare: Compare) -> dict[str, float | str]:
    if found is None:
        return {"gain": np.nan, "gain_low": np.nan, "gain_high": np.nan, "p_holm": np.nan, "verdict": ""}
    word = found.word if p <= 1 - compare.confidence else INCONCLUSIVE
    return {"gain": found.value, "gain_low": found.low, "gain_high": found.high, "p_holm": p, "verdict": word}

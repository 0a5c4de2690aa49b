"""The probability from which a label is predicted: one threshold for each class, chosen on the validation images."""

import numpy as np

from touchstone.config.settings import Settings
from touchstone.errors import TouchstoneError

HALF = 0.5
GRID = np.arange(1, 100) / 100  # the thresholds tried


def thresholds_of(name: str, probs: np.ndarray, labels: np.ndarray, settings: Settings) -> np.ndarray | None:
    """The thresholds of a run or ensemble, float64 (K,); None where each image has one class.

    probs: its predictions of the validation images, (seeds, N, K). labels: int64 (N,), or float32 (N, K).
    """
    return choose(probs, labels, rule=settings.thresholds(name)) if labels.ndim == 2 else None


def member_thresholds(
    ensemble: str, members: dict[str, np.ndarray], labels: np.ndarray, settings: Settings
) -> dict[str, np.ndarray] | None:
    """Member -> the thresholds by which it votes in the ensemble; None where each image has one class.

    members: run -> its predictions of the validation images, (seeds, N, K).
    """
    if labels.ndim == 1:
        return None
    rule = settings.ensembles[ensemble].thresholds
    return {name: choose(probs, labels, rule=rule) for name, probs in members.items()}


def choose(probs: np.ndarray, labels: np.ndarray, *, rule: str) -> np.ndarray:
    """The thresholds, float64 (K,): 0.5 each (half), or those of the highest F1, averaged over the replicates (f1).

    Of equally good thresholds, the nearest to 0.5 is chosen; a class without positive images has 0.5. probs:
    (seeds, N, K). labels: (N, K), NaN where an image does not count. Raises TouchstoneError where the predictions are
    not of these images.
    """
    if probs.shape[1:] != labels.shape:
        raise TouchstoneError(
            f"predictions of {probs.shape[1:]}, labels of {labels.shape} images and classes; run `dvc repro`"
        )
    out = np.full(labels.shape[1], HALF)
    if rule == "half":
        return out
    for k in range(labels.shape[1]):
        counted, positive = ~np.isnan(labels[:, k]), labels[:, k] == 1
        if positive.any():
            scores = np.array([_f1_at(t, probs[:, counted, k], positive[counted]) for t in GRID])
            best = np.flatnonzero(scores >= scores.max() - 1e-12)
            out[k] = GRID[best[np.argmin(np.abs(GRID[best] - HALF))]]
    return out


def _f1_at(threshold: float, scores: np.ndarray, positive: np.ndarray) -> float:
    """The mean over the replicates. scores: (seeds, N). positive: bool (N,)."""
    predicted = scores >= threshold
    return float(f1((predicted & positive).sum(1), predicted.sum(1) + positive.sum()).mean())


def f1(hits: np.ndarray, total: np.ndarray) -> np.ndarray:
    """F1 from the numbers of true positives, and of predicted and actual positives together; 0 where there are none."""
    return np.divide(2 * hits, total, out=np.zeros(np.shape(hits)), where=total > 0)

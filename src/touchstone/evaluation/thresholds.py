"""From which probability on a label is predicted: one threshold a class, chosen on validation images."""

import numpy as np

from touchstone.errors import TouchstoneError

HALF = 0.5
GRID = np.arange(1, 100) / 100  # thresholds that are tried


def choose(probs: np.ndarray, labels: np.ndarray, *, rule: str) -> np.ndarray:
    """float64 (K,): rule half: .5 each; f1: those of the highest F1 on these images, the mean over the seeds.

    probs: (seeds, N, K), labels: (N, K), NaN where an image does not count. Of equal ones the nearest to .5. A class
    without positive images has .5: nothing is known of it. Raises TouchstoneError where probs are of other images.
    """
    if probs.shape[1:] != labels.shape:
        raise TouchstoneError(
            f"predictions of {probs.shape[1:]}, labels of {labels.shape} images, classes; run `dvc repro`"
        )
    num_classes = probs.shape[2]
    out = np.full(num_classes, HALF)
    if rule == "half" or not len(labels):
        return out
    for k in range(num_classes):
        counts, positive = ~np.isnan(labels[:, k]), labels[:, k] == 1
        if positive.any():
            scores = np.array([f1(decided(probs[:, counts, k], t), positive[counts]).mean() for t in GRID])
            best = np.flatnonzero(scores >= scores.max() - 1e-12)
            out[k] = GRID[best[np.argmin(np.abs(GRID[best] - HALF))]]
    return out


def f1(predicted: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """F1 over the last axis: bool (..., N) against bool (N,) -> float64 (...); 0 where nothing is, or is predicted."""
    hits = (predicted & positive).sum(-1)
    total = predicted.sum(-1) + positive.sum(-1)
    return np.divide(2 * hits, total, out=np.zeros(np.shape(hits)), where=total > 0)


def decided(probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """bool (..., K): which labels are predicted. thresholds: (K,), or one."""
    return probs >= thresholds

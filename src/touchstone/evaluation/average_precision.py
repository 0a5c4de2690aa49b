"""Scores of a ranking: how well the images of a class are ranked before the others. float64 throughout.

Images of equal score are one step of the curve: no order among them is made up.
"""

from collections.abc import Iterator

import numpy as np


def average_precision(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """AP = Σ (R_n − R_n−1) P_n over the steps n of the precision-recall curve, as scikit-learn defines it.

    scores: (N,). positive: bool (N,). weights: (..., N), how often each image counts, such as in resamples; all once by
    default. Returns float64 (...); NaN where no positive image counts.
    """
    precision, recall = precision_recall_steps(scores, positive, weights)
    return _sum(precision, recall)


def interpolated_precision(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """VOC's own AP since 2010, over all points: precision is the highest at that recall or a higher one.

    Everingham et al., "The PASCAL visual object classes challenge: a retrospective", 2015, doi
    10.1007/s11263-014-0733-5. Arguments and result as those of `average_precision`, which is never more.
    """
    precision, recall = precision_recall_steps(scores, positive, weights)
    envelope = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    return _sum(envelope, recall)


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """The mean of the AP over the classes with a positive image; NaN where there is none.

    scores: (N, K). labels: (N, K), 1 positive, 0 not, NaN where an image does not count for a class.
    """
    found = [average_precision(score, positive) for score, positive in each_class(scores, labels)]
    there = [float(value) for value in found if not np.isnan(value)]
    return float(np.mean(there)) if there else float("nan")


def each_class(scores: np.ndarray, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(N, K) and (N, K) -> of each class the scores (n,) and bool (n,) of the images that count for it."""
    for score, label in zip(scores.T, labels.T, strict=True):
        counts = ~np.isnan(label)
        yield score[counts], label[counts] == 1


def constant_precision(positive: np.ndarray) -> float:
    """The AP of scores that are the same for all images: the share of positives; NaN without any."""
    return float(positive.mean()) if positive.any() else float("nan")


def tail_accuracy(scores: np.ndarray, positive: np.ndarray, *, num_thresholds: int = 20, lowest: float = 0.5) -> float:
    """The mean, over `num_thresholds` thresholds t, of the share that is positive among the images scored t or above.

    t runs evenly from `lowest` to the highest score, which is among them, so that no share is of no image. NaN where no
    image is scored `lowest` or above. scores: probabilities (N,); positive: bool (N,). After the VOC study's
    tail accuracy.
    """
    highest = float(scores.max()) if len(scores) else 0.0
    if highest < lowest or not len(scores):
        return float("nan")
    thresholds = np.linspace(lowest, highest, num_thresholds)
    order = np.argsort(scores)
    ranked, hits = scores[order].astype(np.float64), positive[order].astype(np.float64)
    first = np.minimum(np.searchsorted(ranked, thresholds, side="left"), len(ranked) - 1)
    right = hits[::-1].cumsum()[::-1]  # positives from each rank on
    return float((right[first] / (len(ranked) - first)).mean())


def precision_recall_steps(
    scores: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall (..., steps), from the highest score down, a step a different score."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1) if len(ranked) else np.zeros(0, int)
    counts = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)
    counts = counts[..., order]
    hits = (counts * positive[order]).cumsum(-1)[..., ends]
    seen = counts.cumsum(-1)[..., ends]
    total = hits[..., -1:] if len(ends) else np.zeros((*counts.shape[:-1], 1))
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    recall = np.divide(hits, total, out=np.full_like(hits, np.nan), where=total > 0)
    return precision, recall


def _sum(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    if not recall.shape[-1]:
        return np.full(recall.shape[:-1], np.nan)
    return (np.diff(recall, axis=-1, prepend=0.0) * precision).sum(-1)

"""Scores of a ranking: how far the images of a class are ranked before the others. Equal scores share a rank."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.sparse import csr_array


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """The mean of the average precision over the classes with a positive image; NaN without any.

    scores: (N, K). labels: (N, K), 1 positive, 0 negative, NaN where an image does not count for a class.
    """
    return float(precision_scorer(scores[None], labels)(np.ones((1, len(labels))))[0, 0])


def precision_scorer(
    probs: np.ndarray, labels: np.ndarray, *, interpolated: bool = False
) -> Callable[[np.ndarray], np.ndarray]:
    """Counts (R, N) -> mean average precision (R, seeds) over the classes with a positive image that counts.

    AP = Σ (R_n − R_n−1) P_n over the steps n of the precision-recall curve, as scikit-learn defines it. Recall changes
    only at scores that a positive image has, so the images between two of these need only be counted. interpolated:
    VOC's AP since 2010, which takes as P_n the highest precision at that recall or a higher one (Everingham et al.
    2015, doi 10.1007/s11263-014-0733-5).

    probs: (seeds, N, K). labels: as in `mean_average_precision`. Counts in float32 give a precision to 7 digits, counts
    in float64 to 15. The result is float64, and NaN where no positive image counts.
    """
    steps = [[_positive_steps(p[:, k], labels[:, k]) for p in probs] for k in range(labels.shape[1])]

    def score(counts: np.ndarray) -> np.ndarray:
        by_image = np.ascontiguousarray(counts.T)  # (N, R): sparse products want a row for each image
        total, num_classes = np.zeros((len(counts), len(probs))), np.zeros((len(counts), 1))
        for of_class in steps:
            precision = np.stack(
                [_average(images @ by_image, positives @ by_image, interpolated) for images, positives in of_class], 1
            )  # (R, seeds)
            total += np.nan_to_num(precision)
            num_classes += ~np.isnan(precision[:, :1])  # positives decide, so all seeds agree
        return np.divide(total, num_classes, out=np.full(total.shape, np.nan), where=num_classes > 0)

    return score


def _positive_steps(scores: np.ndarray, labels: np.ndarray) -> tuple[csr_array, csr_array]:
    """Two tables of 0 and 1, (P, N): the images that each step adds, and the positive ones among them.

    P: the number of distinct scores that positive images have, from the highest down.
    """
    counted = np.flatnonzero(~np.isnan(labels))
    positive = labels[counted] == 1
    levels = np.unique(scores[counted][positive])
    step = len(levels) - np.searchsorted(levels, scores[counted], side="right")  # P: below all positive images
    shape = (len(levels), len(labels))

    def table(chosen: np.ndarray) -> csr_array:
        return csr_array((np.ones(chosen.sum(), np.float32), (step[chosen], counted[chosen])), shape=shape)

    return table(step < len(levels)), table(positive)


def _average(images: np.ndarray, positives: np.ndarray, interpolated: bool) -> np.ndarray:
    """AP (R,) from the images and the positive images that each step adds, (P, R); NaN without any positive image."""
    seen, precision = _cumulative(images), _cumulative(positives)
    total = positives.sum(0, dtype=np.float64)
    precision /= np.maximum(seen, 1, out=seen)  # where no image is seen, none is positive
    if interpolated:
        precision = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    precision *= positives
    return np.divide(precision.sum(0, dtype=np.float64), total, out=np.full(len(total), np.nan), where=total > 0)


def _cumulative(values: np.ndarray) -> np.ndarray:
    """`values.cumsum(0)` of (P, R), faster: within blocks of rows, all blocks at once, then from block to block."""
    size = max(1, round(len(values) ** 0.5))
    out = np.zeros((-(-len(values) // size), size, values.shape[1]), values.dtype)
    out.reshape(-1, values.shape[1])[: len(values)] = values
    for row in range(1, size):
        out[:, row] += out[:, row - 1]
    for block in range(1, len(out)):
        out[block] += out[block - 1, -1]
    return out.reshape(-1, values.shape[1])[: len(values)]


def each_class(scores: np.ndarray, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(N, K) and (N, K) -> for each class the scores (n,) and labels, bool (n,), of the images that count for it."""
    for score, label in zip(scores.T, labels.T, strict=True):
        counted = ~np.isnan(label)
        yield score[counted], label[counted] == 1


def tail_accuracy(scores: np.ndarray, positive: np.ndarray, *, num_thresholds: int = 20, lowest: float = 0.5) -> float:
    """The share of positives among the images scored t or above, averaged over `num_thresholds` thresholds t.

    The thresholds are spaced evenly from `lowest` to the highest score; NaN where no image is scored `lowest` or above.
    scores: probabilities (N,). positive: bool (N,). After the tail accuracy of a study on VOC.
    """
    highest = float(scores.max()) if len(scores) else 0.0
    if highest < lowest or not len(scores):
        return float("nan")
    thresholds = np.linspace(lowest, highest, num_thresholds)
    order = np.argsort(scores)
    ranked, hits = scores[order].astype(np.float64), positive[order].astype(np.float64)
    first = np.minimum(np.searchsorted(ranked, thresholds, side="left"), len(ranked) - 1)
    right = hits[::-1].cumsum()[::-1]  # positives from each rank upwards
    return float((right[first] / (len(ranked) - first)).mean())

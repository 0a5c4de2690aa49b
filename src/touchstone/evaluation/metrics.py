"""Every score, defined once as a function of how often each image counts: counts of 1 give the score of the images,
other counts that of a resample. A new score is a Metric in ONE_CLASS or SEVERAL_LABELS: its mean over
the seeds is then in metrics.json, and its change, with an interval, in `touchstone compare`. A column of the report is
a line of SCORES in report/tables.py or report/multi_label.py.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from touchstone.evaluation.average_precision import precision_scorer
from touchstone.evaluation.calibration import BINS, bin_of, clipped, confidences
from touchstone.evaluation.thresholds import f1

EPSILON = float(np.finfo(np.float64).eps)  # where scikit-learn's log_loss clips
DENSE = 64  # classes up to which a product with all columns is faster than one with those that are not 0
Scorer = Callable[[np.ndarray], np.ndarray]  # counts (R, N) -> scores, float64 (R, seeds)


@dataclass(frozen=True)
class Metric:
    """A score of predictions."""

    key: str
    """Its name in metrics.json."""
    name: str
    """Its name in tables."""
    scorer: Callable[[np.ndarray, np.ndarray], Scorer]
    """(probs, labels) -> Scorer. probs: (seeds, N, K). labels: int64 (N,), or float32 (N, K) as in data/labels.py."""
    of_decisions: bool = False
    """The scorer takes the labels predicted with the run's thresholds, bool (seeds, N, K), in place of probs."""
    compared: bool = True
    """`touchstone compare` shows it. It compares without thresholds, so this must be False with of_decisions."""
    share: bool = True
    """It lies between 0 and 1 and is shown in per cent."""
    lower_is_better: bool = False
    scaled: bool = False
    """It depends on the temperature: metrics.json has it again, with the temperature, as <key>_scaled."""
    exact: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    """(probs, labels) -> (seeds,), in place of the scorer for the images themselves: a library's last digits."""

    @property
    def heading(self) -> str:
        """Its name with the unit, for the head of a column."""
        return f"{self.name} %" if self.share else self.name

    def values(self, probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The score of each seed on the images as they are, float64 (seeds,); NaN where it is not defined."""
        if self.exact is not None:
            return self.exact(probs, labels)
        return self.scorer(probs, labels)(np.ones((1, len(labels))))[0]


def weighted_sums(columns: np.ndarray) -> Scorer:
    """Counts (R, N) -> the sums of columns (N, C) over the images as often as they count, float64 (R, C).

    The product is in the precision of the counts: float32 is twice as fast, float64 has 15 digits.
    """
    wide = np.ascontiguousarray(columns, np.float64)
    narrow = wide.astype(np.float32)
    return lambda counts: (counts @ (narrow if counts.dtype == np.float32 else wide)).astype(np.float64)


def sparse_sums(parts: Sequence[np.ndarray]) -> Scorer:
    """Return what `weighted_sums` returns for the columns of several bool (N, C), of which few values are true."""
    from scipy import sparse  # takes a third of a second to import

    rows = sparse.hstack([sparse.csc_array(part, dtype=np.float64) for part in parts]).T.tocsr()
    return lambda counts: (rows @ counts.T.astype(np.float64)).T


def ratio(above: np.ndarray, below: np.ndarray) -> Scorer:
    """The sum of `above` (seeds, N) over the sum of `below`, (seeds, N) or (1, N); NaN where that is 0."""
    sums_above, sums_below = weighted_sums(above.T), weighted_sums(below.T)
    return lambda counts: divided(sums_above(counts), sums_below(counts))


def divided(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The quotient, NaN where `below` is 0."""
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def _accuracy(probs: np.ndarray, labels: np.ndarray) -> Scorer:
    return ratio(probs.argmax(2) == labels, np.ones((1, len(labels))))


def _macro_f1(probs: np.ndarray, labels: np.ndarray) -> Scorer:
    classes = np.arange(probs.shape[2])
    return _mean_f1(probs.argmax(2)[..., None] == classes, (labels[:, None] == classes).astype(np.float32))


def _mean_f1(decisions: np.ndarray, labels: np.ndarray) -> Scorer:
    """The mean F1 of the classes that an image has; such a class counts 0 in a resample that lacks it.

    decisions: bool (seeds, N, K). labels: (N, K).
    """
    classes = (labels == 1).any(0)
    positive, predicted = (labels == 1)[:, classes], (decisions & ~np.isnan(labels))[:, :, classes]
    columns = (positive, *predicted, *(predicted & positive))
    num_seeds, num_classes = len(predicted), int(classes.sum())
    sums = weighted_sums(np.concatenate(columns, 1)) if num_classes <= DENSE else sparse_sums(columns)

    def score(counts: np.ndarray) -> np.ndarray:
        parts = sums(counts).reshape(len(counts), 1 + 2 * num_seeds, num_classes)
        actual, chosen, hits = parts[:, :1], parts[:, 1 : num_seeds + 1], parts[:, num_seeds + 1 :]
        return divided(f1(hits, actual + chosen).sum(2), np.array(num_classes))

    return score


def _micro_f1(decisions: np.ndarray, labels: np.ndarray) -> Scorer:
    positive, predicted = labels == 1, decisions & ~np.isnan(labels)
    hits, total = (predicted & positive).sum(2), predicted.sum(2) + positive.sum(1)
    sums_hits, sums_total = weighted_sums(hits.T), weighted_sums(total.T)
    return lambda counts: f1(sums_hits(counts), sums_total(counts))


def _label_accuracy(decisions: np.ndarray, labels: np.ndarray) -> Scorer:
    counted = ~np.isnan(labels)
    return ratio(((decisions == (labels == 1)) & counted).sum(2), counted.sum(1)[None])


def _nll(probs: np.ndarray, labels: np.ndarray) -> Scorer:
    """The mean negative log likelihood over the images, or over all labels that count, in nats."""
    if labels.ndim == 1:
        wide = probs.astype(np.float64)
        wide /= wide.sum(2, keepdims=True)  # rows of float32 sum to 1 to 7 digits only
        true = np.take_along_axis(wide, labels[None, :, None], 2)[..., 0]
        return ratio(-np.log(clipped(true, EPSILON)), np.ones((1, len(labels))))
    wide, counted = clipped(probs), ~np.isnan(labels)
    logs = np.where(counted, np.where(labels == 1, np.log(wide), np.log1p(-wide)), 0.0)
    return ratio(-logs.sum(2), counted.sum(1)[None])


def _calibration_error(probs: np.ndarray, labels: np.ndarray) -> Scorer:
    """The mean gap between confidence and accuracy over the bins (Guo 2017, arXiv 1706.04599)."""
    confidence, right, counted = confidences(probs, labels)
    gaps = np.where(counted, right - confidence.astype(np.float64), 0)  # (seeds, N, P)
    places = bin_of(confidence) + BINS * np.arange(len(labels))[:, None]
    columns = [np.bincount(p.ravel(), g.ravel(), BINS * len(labels)) for p, g in zip(places, gaps, strict=True)]
    sums = weighted_sums(np.concatenate([column.reshape(-1, BINS) for column in columns], 1))
    total = weighted_sums(counted.sum(1)[:, None])
    return lambda counts: divided(np.abs(sums(counts).reshape(len(counts), -1, BINS)).sum(2), total(counts))


def _torchmetrics_calibration_error(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The same by torchmetrics, whose sums in float32 are off in the sixth digit: metrics.json has always had these."""
    import torch
    from torchmetrics.functional.classification import binary_calibration_error

    confidence, right, counted = confidences(probs, labels)
    errors = [
        binary_calibration_error(torch.tensor(c[counted]), torch.tensor(r[counted]).long(), n_bins=BINS, norm="l1")
        for c, r in zip(confidence, right, strict=True)
    ]
    return np.array([float(error) for error in errors])


def _constant_precision(probs: np.ndarray, labels: np.ndarray) -> Scorer:
    """Mean average precision of equal scores for all images: the mean share of positives, the same for all seeds."""
    return precision_scorer(np.zeros_like(probs), labels)


NLL = Metric("nll", "NLL", _nll, share=False, lower_is_better=True, scaled=True)
ECE = replace(NLL, key="ece", name="ECE", scorer=_calibration_error, exact=_torchmetrics_calibration_error)

ONE_CLASS = (Metric("accuracy", "accuracy", _accuracy), Metric("macro_f1", "macro F1", _macro_f1), NLL, ECE)
"""The scores of images of one class each; runs are judged by the first."""

SEVERAL_LABELS = (
    Metric("map", "mean AP", precision_scorer),
    Metric("map_voc", "VOC's AP", partial(precision_scorer, interpolated=True), compared=False),
    Metric("map_constant", "constant", _constant_precision, compared=False),
    Metric("accuracy", "accuracy", _label_accuracy, of_decisions=True, compared=False),
    Metric("micro_f1", "micro F1", _micro_f1, of_decisions=True, compared=False),
    Metric("macro_f1", "macro F1", _mean_f1, of_decisions=True, compared=False),
    replace(NLL, compared=False),
    replace(ECE, compared=False),
)
"""The scores of images with several labels or none; runs are judged by the first."""


def metrics_of(*, multi_label: bool) -> tuple[Metric, ...]:
    """All scores for that kind of labels."""
    return SEVERAL_LABELS if multi_label else ONE_CLASS


def primary(*, multi_label: bool) -> Metric:
    """The score that runs are judged by: accuracy, or mean average precision with several labels an image."""
    return metrics_of(multi_label=multi_label)[0]


def primary_key(columns: Container[str]) -> str:
    """The key of the primary score, from an entry of metrics.json or the columns of a table of such entries."""
    return primary(multi_label=SEVERAL_LABELS[0].key in columns).key


def named(key: str) -> Metric:
    """The metric of that key; its name and unit are the same for both kinds of labels."""
    return next(metric for metric in (*ONE_CLASS, *SEVERAL_LABELS) if metric.key == key)

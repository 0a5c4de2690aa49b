"""Predictions and labels -> the scores of a run or an ensemble in metrics.json, and those of each class."""

import numpy as np
import pandas as pd

from touchstone.config.schema.evaluation import Compare
from touchstone.evaluation.average_precision import each_class, tail_accuracy
from touchstone.evaluation.ensembles import replicate_mean
from touchstone.evaluation.metrics import metrics_of, primary

POINTS = 200  # of a precision-recall curve, at most
BY_CLASS = {"ap": "map", "ap_voc": "map_voc", "ap_constant": "map_constant", "accuracy": "accuracy", "f1": "macro_f1"}
"""Column of `per_class` -> key of the metric that is computed on that class alone."""


def score(
    probs: np.ndarray, labels: np.ndarray, *, thresholds: np.ndarray | None = None, compare: Compare | None = None
) -> dict[str, float]:
    """The mean over the seeds of every score that is defined; <key>_sd, the primary score's standard deviation over the
    seeds; n_test, the number of images.

    probs: float32 (seeds, N, K). labels: int64 (N,), or float32 (N, K) where an image may have several. The latter need
    thresholds (K,) and `compare`, whose settings tail_accuracy follows. Raises ValueError without them.
    """
    multi_label = labels.ndim == 2
    if multi_label and (thresholds is None or compare is None):
        raise ValueError("thresholds: got None, expected one for each class")
    decisions = probs if thresholds is None else probs >= thresholds
    by_seed = {
        metric.key: metric.values(decisions if metric.of_decisions else probs, labels)
        for metric in metrics_of(multi_label=multi_label)
    }
    row = {key: float(values.mean()) for key, values in by_seed.items()}
    key = primary(multi_label=multi_label).key
    row[f"{key}_sd"] = float(by_seed[key].std(ddof=1)) if len(probs) > 1 else 0.0
    if compare is not None and multi_label:
        row["tail_accuracy"] = _mean([_tail_accuracy(probs, labels, k, compare) for k in range(labels.shape[1])])
    return {key: value for key, value in row.items() if not np.isnan(value)} | {"n_test": len(labels)}


def correct(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether each seed is right about each image of one class, bool (seeds, N)."""
    return probs.argmax(2) == labels


def per_class_accuracy(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean over the seeds, float64 (K,); NaN for a class without test images."""
    right = correct(probs, labels).mean(0)
    return np.array([right[labels == c].mean() if (labels == c).any() else np.nan for c in range(probs.shape[2])])


def per_class(probs: np.ndarray, labels: np.ndarray, thresholds: np.ndarray, compare: Compare) -> pd.DataFrame:
    """A row for each class, where an image may have several: its number, its scores as means over the seeds (NaN where
    not defined), its threshold, and the numbers of positive and of all images.

    probs: (seeds, N, K). labels: float32 (N, K), see data/labels.py. thresholds: (K,).
    """
    decisions = probs >= thresholds
    metrics = {metric.key: metric for metric in metrics_of(multi_label=True)}
    rows = []
    for k, (_, positive) in enumerate(each_class(probs[0], labels)):
        row: dict[str, float] = {"class": k, "threshold": thresholds[k]}
        for column, key in BY_CLASS.items():
            predictions = decisions if metrics[key].of_decisions else probs
            row[column] = float(metrics[key].values(predictions[:, :, k : k + 1], labels[:, k : k + 1]).mean())
        row["tail_accuracy"] = _tail_accuracy(probs, labels, k, compare)
        rows.append(row | {"n_positive": int(positive.sum()), "n_test": len(positive)})
    averages, decided = ["ap", "ap_voc", "ap_constant"], ["accuracy", "f1", "threshold"]
    return pd.DataFrame(rows)[["class", *averages, "tail_accuracy", *decided, "n_positive", "n_test"]]


def precision_recall(probs: np.ndarray, labels: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """class, recall, precision: the curve of each class with positive images, at most POINTS rows, recall rising.

    The curve is that of the mean over the seeds of float32 (seeds, N, K).
    """
    from sklearn.metrics import precision_recall_curve  # takes a second to import

    parts = []
    pairs = each_class(replicate_mean(probs), labels)
    for name, (scores, positive) in zip(classes, pairs, strict=True):
        if positive.any():
            precision, recall = (values[-2::-1] for values in precision_recall_curve(positive, scores)[:2])
            rows = np.unique(np.linspace(0, len(recall) - 1, min(len(recall), POINTS)).round().astype(int))
            parts.append(pd.DataFrame({"class": name, "recall": recall[rows], "precision": precision[rows]}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["class", "recall", "precision"])


def _tail_accuracy(probs: np.ndarray, labels: np.ndarray, k: int, compare: Compare) -> float:
    """The mean over the seeds that score an image of class k high enough."""
    counted, positive = ~np.isnan(labels[:, k]), labels[:, k] == 1
    if not positive.any():
        return float("nan")
    count, lowest = compare.tail_thresholds, compare.tail_from
    return _mean([tail_accuracy(p[counted, k], positive[counted], num_thresholds=count, lowest=lowest) for p in probs])


def _mean(values: list[float]) -> float:
    """The mean of the values that are defined; NaN without any."""
    there = [value for value in values if not np.isnan(value)]
    return float(np.mean(there)) if there else float("nan")

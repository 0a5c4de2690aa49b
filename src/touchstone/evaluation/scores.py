"""Predictions and labels -> the scores in metrics.json, of a run and of an ensemble alike."""

import numpy as np

from touchstone.config.schema.evaluation import Compare
from touchstone.evaluation.label_scores import mean_tail_accuracy
from touchstone.evaluation.metrics import metrics_of, primary
from touchstone.evaluation.thresholds import decided


def score(
    probs: np.ndarray, labels: np.ndarray, *, thresholds: np.ndarray | None = None, compare: Compare | None = None
) -> dict[str, float]:
    """Every score of metrics.py that is defined, the mean over the seeds; the standard deviation <key>_sd over the
    seeds of the one that runs are judged by; n_test, the number of images.

    probs: float32 (seeds, N, K). labels: int64 (N,), or float32 (N, K) where an image may have several; these need
    thresholds (K,), and have tail_accuracy too, with the thresholds of `compare`. Raises ValueError without them.
    """
    multi_label = labels.ndim == 2
    if multi_label and (thresholds is None or compare is None):
        raise ValueError("thresholds: got None, expected one for each class")
    decisions = decided(probs, thresholds) if thresholds is not None else probs
    by_seed = {
        metric.key: metric.values(decisions if metric.of_decisions else probs, labels)
        for metric in metrics_of(multi_label=multi_label)
    }
    row = {key: float(values.mean()) for key, values in by_seed.items()}
    key = primary(multi_label=multi_label).key
    row[f"{key}_sd"] = float(by_seed[key].std(ddof=1)) if len(probs) > 1 else 0.0
    if compare is not None and multi_label:
        row["tail_accuracy"] = mean_tail_accuracy(probs, labels, compare)
    return {key: value for key, value in row.items() if not np.isnan(value)} | {"n_test": len(labels)}


def calibration_scores(probs: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The scores that depend on the temperature, means over the seeds."""
    metrics = metrics_of(multi_label=labels.ndim == 2)
    return {metric.key: float(metric.values(probs, labels).mean()) for metric in metrics if metric.scaled}


def correct(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether each seed is right about each image of one class, bool (seeds, N)."""
    return probs.argmax(2) == labels


def per_class_accuracy(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean over the seeds, float64 (classes,); NaN for a class without test images."""
    right = correct(probs, labels).mean(0)
    return np.array([right[labels == c].mean() if (labels == c).any() else np.nan for c in range(probs.shape[2])])

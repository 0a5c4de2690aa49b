"""The scores of each class, where an image may have several labels, and the curves behind them."""

from typing import Any

import numpy as np
import pandas as pd

from touchstone.config.schema.evaluation import Compare
from touchstone.evaluation.average_precision import each_class, precision_recall_curve, tail_accuracy
from touchstone.evaluation.metrics import metrics_of
from touchstone.evaluation.thresholds import decided

POINTS = 200  # of a curve, at most


def per_class(probs: np.ndarray, labels: np.ndarray, thresholds: np.ndarray, compare: Compare) -> pd.DataFrame:
    """A row for each class, by its number: ap, ap_voc, ap_constant, tail_accuracy, accuracy and f1, means over the
    seeds; threshold; n_positive and n_test, numbers of images. NaN where a score is not defined.

    probs: (seeds, N, K). labels: float32 (N, K), see data/labels.py. thresholds: (K,).
    """
    decisions = decided(probs, thresholds)
    metrics = {metric.key: metric for metric in metrics_of(multi_label=True)}
    rows = []
    for k, (_, positive) in enumerate(each_class(probs[0], labels)):
        here = slice(k, k + 1)

        def mean(key: str, here: slice = here) -> float:
            predictions = decisions if metrics[key].of_decisions else probs
            return float(metrics[key].values(predictions[:, :, here], labels[:, here]).mean())

        rows.append(
            {
                "class": k,
                "ap": mean("map"),
                "ap_voc": mean("map_voc"),
                "ap_constant": mean("map_constant"),
                "tail_accuracy": _tail_accuracy(probs[:, :, k], labels[:, k], compare),
                "accuracy": mean("accuracy"),
                "f1": mean("macro_f1"),
                "threshold": thresholds[k],
                "n_positive": int(positive.sum()),
                "n_test": len(positive),
            }
        )
    return pd.DataFrame(rows)


def mean_tail_accuracy(probs: np.ndarray, labels: np.ndarray, compare: Compare) -> float:
    """The mean of `tail_accuracy` over the classes in which it is defined; NaN without any.

    Of each class it is the mean over the seeds that score an image high enough.
    """
    by_class = [_tail_accuracy(probs[:, :, k], labels[:, k], compare) for k in range(labels.shape[1])]
    return _mean(by_class)


def precision_recall(probs: np.ndarray, labels: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """class, recall, precision: the curve of each class with positive images, at most POINTS rows, recall rising.

    The curve is that of the mean over the seeds of float32 (seeds, N, K).
    """
    parts = []
    pairs = each_class(probs.mean(0, dtype=np.float64), labels)
    for name, (scores, positive) in zip(classes, pairs, strict=True):
        if positive.any():
            precision, recall = precision_recall_curve(scores, positive)
            rows = np.unique(np.linspace(0, len(recall) - 1, min(len(recall), POINTS)).round().astype(int))
            parts.append(pd.DataFrame({"class": name, "recall": recall[rows], "precision": precision[rows]}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["class", "recall", "precision"])


def _tail_accuracy(scores: np.ndarray, labels: np.ndarray, compare: Compare) -> float:
    """Of one class, the mean over the seeds in which it is defined. scores: (seeds, N). labels: (N,)."""
    counted, positive = ~np.isnan(labels), labels == 1
    if not positive.any():
        return float("nan")
    settings: dict[str, Any] = {"num_thresholds": compare.tail_thresholds, "lowest": compare.tail_from}
    return _mean([tail_accuracy(s[counted], positive[counted], **settings) for s in scores])


def _mean(values: list[float]) -> float:
    """The mean of the values that are defined; NaN without any."""
    there = [value for value in values if not np.isnan(value)]
    return float(np.mean(there)) if there else float("nan")

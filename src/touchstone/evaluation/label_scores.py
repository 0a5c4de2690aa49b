"""Probs x labels -> metrics, where an image may have several labels or none. Means over classes leave out those without
a positive test image: nothing can be said of how they are ranked. What is counted over labels takes them all.
"""

from typing import Any

import numpy as np
import pandas as pd

from touchstone.config.sections import Compare
from touchstone.evaluation.average_precision import (
    average_precision,
    constant_precision,
    each_class,
    interpolated_precision,
    mean_average_precision,
    precision_recall_steps,
    tail_accuracy,
)
from touchstone.evaluation.scores import BINS
from touchstone.evaluation.thresholds import decided, f1

POINTS = 200
LEAST = 1e-7  # of a probability, in the likelihood: what float32 can tell from 0 and 1


def score(probs: np.ndarray, labels: np.ndarray, thresholds: np.ndarray, settings: Compare) -> dict[str, float]:
    """Scores of float32 (seeds, N, K) against float32 (N, K), see labels.py: means over the seeds, `map_sd` beside.

    map: mean average precision, map_voc: VOC's own, all-point AP, map_constant: of scores that are all the same.
    accuracy: the share of right labels; micro_f1: over all labels, macro_f1: the mean over classes; all three of what
    `thresholds` (K,) decide. tail_accuracy: the mean over classes. nll in nats a label. ece: of labels, 15 equal bins.
    """
    table = pd.concat([per_class(p[None], labels, thresholds, settings) for p in probs], keys=range(len(probs)))
    found = np.array([mean_average_precision(p, labels) for p in probs])
    means = table.groupby("class", sort=False)[["ap_voc", "ap_constant", "tail_accuracy", "f1"]].mean()
    counts = ~np.isnan(labels)
    right, positive = decided(probs, thresholds) == (labels == 1), (labels == 1)[counts]
    values = {
        "map": found.mean(),
        "map_sd": found.std(ddof=1) if len(found) > 1 else 0.0,
        "map_voc": means["ap_voc"].mean(),
        "map_constant": means["ap_constant"].mean(),
        "accuracy": right[:, counts].mean(),
        "micro_f1": f1(decided(probs, thresholds)[:, counts], positive).mean(),
        "macro_f1": means["f1"].mean(),
        "tail_accuracy": means["tail_accuracy"].mean(),
        **calibration(probs, labels),
    }
    told = {key: float(value) for key, value in values.items() if not np.isnan(value)}
    return told | {"n_test": len(labels)}


def calibration(probs: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """nll and ece, as in `score`."""
    counts = ~np.isnan(labels)
    positive = (labels == 1)[counts]
    ece = np.mean([_calibration_error(p[counts], positive) for p in probs])
    return {"nll": _nll(probs[:, counts], positive), "ece": float(ece)}


def per_class(probs: np.ndarray, labels: np.ndarray, thresholds: np.ndarray, settings: Compare) -> pd.DataFrame:
    """A row a class, numbered: means over the seeds of ap, ap_voc, tail_accuracy, accuracy and f1; ap_constant,
    threshold; n_positive, n_test. NaN where there is nothing to say of a class.

    tail_accuracy is the mean over the seeds in which the class has a score high enough.
    """
    rows = []
    for k in range(labels.shape[1]):
        [[_, positive]] = each_class(probs[0][:, k : k + 1], labels[:, k : k + 1])
        scores = probs[:, ~np.isnan(labels[:, k]), k]
        predicted = decided(scores, thresholds[k])
        there = bool(positive.any())
        how: dict[str, Any] = {"num_thresholds": settings.tail_thresholds, "lowest": settings.tail_from}
        rows.append(
            {
                "class": k,
                "ap": np.mean([average_precision(s, positive) for s in scores]),
                "ap_voc": np.mean([interpolated_precision(s, positive) for s in scores]),
                "ap_constant": constant_precision(positive),
                "tail_accuracy": _mean([tail_accuracy(s, positive, **how) for s in scores]) if there else np.nan,
                "accuracy": (predicted == positive).mean() if len(positive) else np.nan,
                "f1": f1(predicted, positive).mean() if there else np.nan,
                "threshold": thresholds[k],
                "n_positive": int(positive.sum()),
                "n_test": len(positive),
            }
        )
    return pd.DataFrame(rows)


def precision_recall(probs: np.ndarray, labels: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """class, recall, precision: the curve of each class with positive images, at most POINTS a class, recall rising.

    Of the mean over the seeds of float32 (seeds, N, K).
    """
    parts = []
    pairs = each_class(probs.mean(0, dtype=np.float64), labels)
    for name, (scores, positive) in zip(classes, pairs, strict=True):
        if positive.any():
            precision, recall = precision_recall_steps(scores, positive)
            rows = np.unique(np.linspace(0, len(recall) - 1, min(len(recall), POINTS)).round().astype(int))
            parts.append(pd.DataFrame({"class": name, "recall": recall[rows], "precision": precision[rows]}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["class", "recall", "precision"])


def _mean(values: list[float]) -> float:
    there = [value for value in values if not np.isnan(value)]
    return float(np.mean(there)) if there else float("nan")


def _nll(probs: np.ndarray, positive: np.ndarray) -> float:
    """The mean over (seeds, M) labels."""
    sure = np.clip(probs.astype(np.float64), LEAST, 1 - LEAST)
    return float(-np.where(positive, np.log(sure), np.log1p(-sure)).mean())


def _calibration_error(probs: np.ndarray, positive: np.ndarray) -> float:
    """Of labels (M,): the gap between probability and share over equal bins (Guo 2017, arXiv 1706.04599)."""
    import torch
    from torchmetrics.functional.classification import binary_calibration_error

    return float(binary_calibration_error(torch.tensor(probs), torch.tensor(positive).long(), n_bins=BINS, norm="l1"))

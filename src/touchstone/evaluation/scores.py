"""Probs x labels -> metrics. One code scores a run and an ensemble alike."""

from collections.abc import Iterable

import numpy as np
from sklearn.metrics import f1_score, log_loss

BINS = 15  # of the expected calibration error


def score(probs: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Scores of float32 (seeds, N, classes) against int64 (N,): means over the seeds, `accuracy_sd` beside.

    accuracy; macro_f1 over classes with test images; nll in nats; ece: expected calibration error with 15 equal bins.
    """
    accuracy = correct(probs, labels).mean(1)
    return {
        "accuracy": float(accuracy.mean()),
        "accuracy_sd": float(accuracy.std(ddof=1)) if len(accuracy) > 1 else 0.0,
        "macro_f1": _mean(
            f1_score(labels, p.argmax(1), labels=np.unique(labels), average="macro", zero_division=0) for p in probs
        ),
        **calibration(probs, labels),
        "n_test": len(labels),
    }


def calibration(probs: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """nll and ece, as in `score`."""
    classes = np.arange(probs.shape[2])
    return {
        "nll": _mean(log_loss(labels, proper(p), labels=classes) for p in probs),
        "ece": _mean(expected_calibration_error(p, labels) for p in probs),
    }


def correct(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """bool (seeds, N)"""
    return probs.argmax(2) == labels


def per_class_accuracy(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float64 (classes,), the mean over the seeds; NaN for a class without test images."""
    right = correct(probs, labels).mean(0)
    return np.array([right[labels == c].mean() if (labels == c).any() else np.nan for c in range(probs.shape[2])])


def expected_calibration_error(probs: np.ndarray, labels: np.ndarray) -> float:
    """Of (N, classes): the mean gap between confidence and accuracy over equal bins (Guo 2017, arXiv 1706.04599)."""
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    value = multiclass_calibration_error(
        torch.tensor(probs), torch.tensor(labels), num_classes=probs.shape[1], n_bins=BINS, norm="l1"
    )
    return float(value)


def proper(probs: np.ndarray) -> np.ndarray:
    """float64 rows that sum to 1 to the last bit that log_loss checks."""
    wide = probs.astype(np.float64)
    return wide / wide.sum(1, keepdims=True)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))

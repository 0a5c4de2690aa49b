"""Temperature scaling, and how often what is said with a confidence is right.

Guo et al. 2017, "On calibration of modern neural networks", arXiv 1706.04599.
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, logit, softmax

BINS = 15
RANGE = np.log(0.05), np.log(20.0)  # of temperatures
TINY = 1e-7  # of a probability


def temperatures(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float64 (seeds,): by which each seed's logits are divided so that these images' likelihood is highest; 1 without
    images. probs: (seeds, N, K); labels: int64 (N,), or (N, K) of several labels an image."""
    return np.array([_temperature(p, labels) for p in probs])


def scaled(probs: np.ndarray, by: np.ndarray, *, multi_label: bool) -> np.ndarray:
    """(seeds, N, K) at the temperatures (seeds,), of the same type."""
    logits = _logits(probs, multi_label) / by[:, None, None]
    return (expit(logits) if multi_label else softmax(logits, 2)).astype(probs.dtype)


def reliability(probs: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """confidence, accuracy, images: a row a bin of confidence that is not empty, over all seeds; of several labels an
    image, of labels: probability and how often it is there."""
    if labels.ndim == 1:
        said, right = probs.max(2).ravel(), (probs.argmax(2) == labels).ravel()
    else:
        counts = ~np.isnan(labels)
        said, right = probs[:, counts].ravel(), np.tile(labels[counts] == 1, len(probs))
    place = np.clip(np.ceil(said * BINS).astype(int) - 1, 0, BINS - 1)
    table = pd.DataFrame({"bin": place, "confidence": said.astype(np.float64), "accuracy": right, "images": 1})
    found = table.groupby("bin").agg({"confidence": "mean", "accuracy": "mean", "images": "sum"})
    return found.reset_index(drop=True)


def _temperature(probs: np.ndarray, labels: np.ndarray) -> float:
    if not len(labels):
        return 1.0
    logits = _logits(probs, labels.ndim == 2)

    def loss(log_t: float) -> float:
        found = logits / np.exp(log_t)
        if labels.ndim == 1:
            return float(-log_softmax(found, 1)[np.arange(len(labels)), labels].mean())
        signed = np.where(labels == 1, found, -found)
        return float(-log_expit(signed[~np.isnan(labels)]).mean())

    return float(np.exp(minimize_scalar(loss, bounds=RANGE, method="bounded").x))


def _logits(probs: np.ndarray, multi_label: bool) -> np.ndarray:
    wide = np.clip(probs.astype(np.float64), TINY, 1 - TINY)
    return logit(wide) if multi_label else np.log(wide)

"""Whether predictions are right as often as their confidence says, and the temperature that makes them so.

Guo et al. 2017, "On calibration of modern neural networks", arXiv 1706.04599.
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, logit, softmax

BINS = 15  # equal bins of confidence, each open below and closed above
RANGE = np.log(0.05), np.log(20.0)  # the logarithms of the lowest and the highest temperature
LEAST = 1e-7  # the distance from 0 and 1 that float32 resolves


def clipped(probs: np.ndarray, least: float = LEAST) -> np.ndarray:
    """Probabilities in float64, at least `least` away from 0 and 1."""
    return np.clip(probs.astype(np.float64), least, 1 - least)


def temperatures(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The divisor of each seed's logits that gives these images the highest likelihood, float64 (seeds,).

    1 without images. probs: (seeds, N, K). labels: int64 (N,), or (N, K) where an image may have several labels.
    """
    return np.array([_temperature(p, labels) if len(labels) else 1.0 for p in probs])


def _temperature(probs: np.ndarray, labels: np.ndarray) -> float:
    logits = _logits(probs, labels.ndim == 2)

    def loss(log_temperature: float) -> float:
        divided = logits / np.exp(log_temperature)
        if labels.ndim == 1:
            return float(-log_softmax(divided, 1)[np.arange(len(labels)), labels].mean())
        signed = np.where(labels == 1, divided, -divided)
        return float(-log_expit(signed[~np.isnan(labels)]).mean())

    return float(np.exp(minimize_scalar(loss, bounds=RANGE, method="bounded").x))


def scaled(probs: np.ndarray, divisors: np.ndarray, *, multi_label: bool) -> np.ndarray:
    """The probabilities (seeds, N, K) at the temperatures (seeds,), of the same type."""
    logits = _logits(probs, multi_label) / divisors[:, None, None]
    return (expit(logits) if multi_label else softmax(logits, 2)).astype(probs.dtype)


def _logits(probs: np.ndarray, multi_label: bool) -> np.ndarray:
    return logit(clipped(probs)) if multi_label else np.log(clipped(probs))


def confidences(probs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The confidence of each prediction and whether it is right, (seeds, N, P) each; which of them count, bool (N, P).

    With one class an image P is 1: the highest probability. With several labels P is K: the probability of each label,
    which is right where the image has it.
    """
    probs, decisions = np.minimum(probs, 1), probs.argmax(2)  # weights rounded to 6 digits may sum to more than 1
    if labels.ndim == 1:
        right = decisions == labels
        return probs.max(2)[..., None], right[..., None], np.ones((len(labels), 1), bool)
    return probs, np.broadcast_to(labels == 1, probs.shape), ~np.isnan(labels)


def bin_of(confidence: np.ndarray) -> np.ndarray:
    """The bin of each confidence, from 0 to BINS - 1; a confidence of 0 is in the first."""
    return np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)


def reliability(probs: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Columns confidence, accuracy (means) and images (a number): a row for each bin that is not empty, over all seeds.

    With several labels an image, a prediction is that of one label, and accuracy is the share of images that have it.
    """
    confidence, right, counted = confidences(probs, labels)
    confidence, right = confidence[:, counted].ravel(), right[:, counted].ravel()
    table = pd.DataFrame({"bin": bin_of(confidence), "confidence": confidence.astype(np.float64), "accuracy": right})
    means = table.assign(images=1).groupby("bin").agg({"confidence": "mean", "accuracy": "mean", "images": "sum"})
    return means.reset_index(drop=True)

"""The probability that predictions give to the true labels, and its logarithm."""

import numpy as np

LEAST = 1e-7  # the distance from 0 and 1 that float32 resolves
EPSILON = float(np.finfo(np.float64).eps)  # where scikit-learn's log_loss clips
TINY = 1e-12  # keeps the search for an ensemble's weights finite


def clipped(probs: np.ndarray, least: float = LEAST) -> np.ndarray:
    """Probabilities in float64, at least `least` away from 0 and 1."""
    return np.clip(probs.astype(np.float64), least, 1 - least)


def negative_log_likelihood(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """In nats, float64 (seeds, N): of an image's class, or summed over its labels where it may have several.

    probs: (seeds, N, K). labels: int64 (N,), or (N, K) with NaN where an image does not count for a class.
    """
    if labels.ndim == 1:
        wide = probs.astype(np.float64)
        wide /= wide.sum(2, keepdims=True)  # rows of float32 sum to 1 to 7 digits only
        return -np.log(clipped(np.take_along_axis(wide, labels[None, :, None], 2)[..., 0], EPSILON))
    wide = clipped(probs)
    return -np.where(np.isnan(labels), 0.0, np.where(labels == 1, np.log(wide), np.log1p(-wide))).sum(2)


def likelihoods(stack: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The probability of each true label by each member of an ensemble, float64 (members, M), at least TINY.

    M runs over seeds and images, and over labels where an image may have several. stack: (members, seeds, N, K).
    """
    if labels.ndim == 1:
        true = np.take_along_axis(stack, labels[None, None, :, None], 3)[..., 0]  # (members, seeds, N)
    else:
        true = np.where(labels == 1, stack, 1 - stack)[..., ~np.isnan(labels)]  # (members, seeds, M)
    return np.maximum(true.reshape(len(stack), -1).astype(np.float64), TINY)

"""What the mean over the replicates decides, with ties that floating point does not break.

Shares of votes are sums of fractions, so equal ones may differ in their last digits by the order of the summands.
"""

import numpy as np

TIE = 1e-6
"""Probabilities nearer than this are equal. Rounding in float32 moves them by a tenth of it, a vote by far more."""


def decided(mean: np.ndarray) -> np.ndarray:
    """The most probable class of each image, int64 (N,); the first of equally probable ones. mean: (N, K)."""
    return ranked(mean, 1)[:, 0]


def ranked(mean: np.ndarray, count: int) -> np.ndarray:
    """The `count` most probable classes of each image, int64 (N, count), the highest first; see `decided`."""
    left, rows = mean.astype(np.float64), np.arange(len(mean))
    out = np.empty((len(mean), count), np.int64)
    for place in range(count):
        out[:, place] = (left >= left.max(1, keepdims=True) - TIE).argmax(1)
        left[rows, out[:, place]] = -np.inf
    return out


def settled(mean: np.ndarray) -> np.ndarray:
    """The probabilities (N, K), float64, with that of the decided class raised to the highest; argmax decides alike."""
    out, rows = mean.astype(np.float64), np.arange(len(mean))
    out[rows, decided(mean)] = out.max(1)
    return out


def labelled(mean: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Whether each label is predicted, bool (N, K): where its probability is at least its threshold (K,)."""
    return mean.astype(np.float64) >= thresholds - TIE

"""The order in which an epoch visits the training images: each once, or drawn by weights against class imbalance."""

from functools import lru_cache

import numpy as np

from touchstone.seeds import generator


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the order of `count` images in an epoch, int64 (count,)."""
    return generator(seed, "order", epoch).permutation(count)


def weighted_order(seed: int, epoch: int, weights: np.ndarray) -> np.ndarray:
    """Draw an epoch's images with replacement, int64 (N,), each with a probability proportional to its weight (N,)."""
    return generator(seed, "weighted order", epoch).choice(len(weights), len(weights), p=weights / weights.sum())


def balancing_weights(labels: np.ndarray, power: float) -> np.ndarray:
    """Return a weight for each image, float64 (N,): (N / number of images of its class)**power, scaled to a mean of 1.

    labels: int64 (N,), or float32 (N, K) where an image may have several; then it counts for the rarest of its classes,
    and images without any form a class of their own. With power 1 all classes are drawn equally often.
    """
    classes = labels if labels.ndim == 1 else _rarest(labels)
    counts = np.bincount(classes)
    weights = np.array([(len(classes) / count) ** power if count else 0.0 for count in counts.tolist()])[classes]
    return weights / weights.mean()


def _rarest(labels: np.ndarray) -> np.ndarray:
    """Return the class with the fewest images among those of each image, int64 (N,); K where it has none."""
    present = labels == 1  # (N, K)
    counts = np.where(present, present.sum(0), len(labels) + 1)
    return np.where(present.any(1), counts.argmin(1), labels.shape[1])

"""Any metric in resamples of the test images: (seeds, N, K) probabilities -> (resamples, seeds) values.

Metrics are functions of how often each image was drawn, (R, N) counts that sum to N: one matrix product scores many
resamples. Where images come in groups, such as patients, groups are drawn. The same seed gives every run the same
resamples, which pairs the runs.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from touchstone.evaluation.metrics import Metric
from touchstone.seeds import generator

AT_ONCE, COUNTS, WORKERS = 250, 2**22, 4  # at most: resamples in a block, counts in a block, threads


def resample(
    metric: Metric,
    probs: np.ndarray,
    labels: np.ndarray,
    *,
    num_resamples: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """The metric in each resample, float64 (num_resamples, seeds); rows are NaN where it is not defined.

    probs: (seeds, N, K). labels: int64 (N,), or (N, K) where an image may have several labels (data/labels.py).
    groups: int (N,), the groups of images that are drawn together.
    """
    return resample_all([(metric, probs)], labels, num_resamples=num_resamples, seed=seed, groups=groups)[0]


def resample_all(
    pairs: Sequence[tuple[Metric, np.ndarray]],
    labels: np.ndarray,
    *,
    num_resamples: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> list[np.ndarray]:
    """`resample` for each (metric, probs). The resamples are drawn once, since drawing takes most of the time."""
    scorers = [metric.scorer(probs, labels) for metric, probs in pairs]
    size = max(1, min(AT_ONCE, COUNTS // len(labels)))

    def scored(start: int) -> list[np.ndarray]:
        number = min(size, num_resamples - start)
        if groups is None:
            counts = draw_counts(len(labels), start, number, seed=seed)
        else:
            counts = draw_counts(groups.max() + 1, start, number, seed=seed)[:, groups]
            counts *= len(labels) / counts.sum(1, keepdims=True)  # groups differ in size
        return [score(counts) for score in scorers]

    with ThreadPoolExecutor(min(WORKERS, os.cpu_count() or 1)) as pool:
        blocks = list(pool.map(scored, range(0, num_resamples, size)))
    return [np.concatenate(values) for values in zip(*blocks, strict=True)]


def draw_counts(num_images: int, start: int, size: int, *, seed: int) -> np.ndarray:
    """Count each image in the resamples from number `start` on; float32 (size, num_images)."""
    rng = generator(seed, "bootstrap items", start)
    picked = rng.integers(0, num_images, (size, num_images), dtype=np.int32)
    picked += np.arange(size, dtype=np.int32)[:, None] * num_images
    return np.bincount(picked.ravel(), minlength=size * num_images).reshape(size, num_images).astype(np.float32)

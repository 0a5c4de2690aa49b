"""Any score in resamples of the test images: (seeds, N, K) probabilities -> (resamples, seeds) values.

A resample is how often each image was drawn, (R, N) counts that sum to N. Every score is written in terms of such
counts, so that a matrix product scores many resamples at once. The same seed gives the same resamples to all runs,
which pairs them.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.sparse import csr_array

from touchstone.evaluation.scores import BINS, proper
from touchstone.seeds import generator

AT_ONCE, COUNTS, WORKERS = 250, 2**22, 4  # resamples at a time, at most; counts in them; threads
Scorer = Callable[[np.ndarray], np.ndarray]  # counts (R, N) -> (R, seeds)


def resampled(metric: str, probs: np.ndarray, labels: np.ndarray, *, num_resamples: int, seed: int) -> np.ndarray:
    """float64 (num_resamples, seeds) of a metric in SCORERS.

    probs: (seeds, N, K). labels: int64 (N,), or (N, K) of several labels an image (labels.py). Rows are NaN where the
    score of a resample is not defined.
    """
    return together([(metric, probs)], labels, num_resamples=num_resamples, seed=seed)[0]


def together(
    asked: Sequence[tuple[str, np.ndarray]], labels: np.ndarray, *, num_resamples: int, seed: int
) -> list[np.ndarray]:
    """`resampled` of several (metric, probs), whose resamples are drawn once: drawing takes most of the time."""
    scorers, num_items = [SCORERS[metric](probs, labels) for metric, probs in asked], len(labels)

    def some(block: tuple[int, int]) -> list[np.ndarray]:
        counts = drawn(num_items, *block, seed=seed)
        return [score(counts) for score in scorers]

    with ThreadPoolExecutor(min(WORKERS, os.cpu_count() or 1)) as pool:
        parts = list(pool.map(some, _blocks(num_items, num_resamples)))
    return [np.concatenate(found) for found in zip(*parts, strict=True)]


def drawn(num_items: int, start: int, size: int, *, seed: int) -> np.ndarray:
    """float32 (size, num_items): how often each item is in the resamples from number `start` on."""
    rng = generator(seed, "bootstrap items", start)
    picked = rng.integers(0, num_items, (size, num_items), dtype=np.int32)
    picked += np.arange(size, dtype=np.int32)[:, None] * num_items
    return np.bincount(picked.ravel(), minlength=size * num_items).reshape(size, num_items).astype(np.float32)


def _blocks(num_items: int, num_resamples: int) -> Iterator[tuple[int, int]]:
    """(start, size) of the resamples that are made together."""
    size = max(1, min(AT_ONCE, COUNTS // num_items))
    for start in range(0, num_resamples, size):
        yield start, min(size, num_resamples - start)


def _mean_of_items(values: np.ndarray) -> Scorer:
    """values: (seeds, N)."""
    columns = np.ascontiguousarray(values.T, np.float32)  # (N, seeds)
    return lambda counts: (counts @ columns).astype(np.float64) / len(columns)


def _accuracy(probs: np.ndarray, labels: np.ndarray) -> Scorer:
    return _mean_of_items(probs.argmax(2) == labels)


def _nll(probs: np.ndarray, labels: np.ndarray) -> Scorer:
    rows = np.arange(len(labels))
    tiny = np.finfo(np.float64).eps  # as scikit-learn clips
    return _mean_of_items(np.stack([-np.log(np.maximum(proper(p)[rows, labels], tiny)) for p in probs]))


def _macro_f1(probs: np.ndarray, labels: np.ndarray) -> Scorer:
    """Over classes that the test images have, as `scores.score`: a class that a resample lacks counts 0 there."""
    num_classes = probs.shape[2]
    actual = np.eye(num_classes, dtype=np.float32)[labels]  # (N, K)
    known = np.unique(labels)
    predicted = [np.eye(num_classes, dtype=np.float32)[p.argmax(1)] for p in probs]
    columns = np.concatenate([actual, *predicted, *(actual * chosen for chosen in predicted)], 1)

    def score(counts: np.ndarray) -> np.ndarray:
        there, *sums = np.split(counts @ columns, 1 + 2 * len(predicted), axis=1)  # (R, K) each
        out = []
        for chosen, right in zip(sums[: len(predicted)], sums[len(predicted) :], strict=True):
            total = there + chosen
            f1 = np.divide(2 * right, total, out=np.zeros_like(total), where=total > 0)
            out.append(f1[:, known].mean(1, dtype=np.float64))
        return np.stack(out, 1)

    return score


def _ece(probs: np.ndarray, labels: np.ndarray) -> Scorer:
    """Over 15 equal bins of confidence, as torchmetrics has them: open below, closed above."""
    gaps = []
    for p in probs:
        confidence = p.max(1)
        place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
        gap = (p.argmax(1) == labels) - confidence
        gaps.append(np.eye(BINS, dtype=np.float32)[place] * gap[:, None].astype(np.float32))  # (N, bins)
    columns = np.concatenate(gaps, 1)

    def score(counts: np.ndarray) -> np.ndarray:
        each = (counts @ columns).reshape(len(counts), len(gaps), BINS)
        return np.abs(each).sum(2, dtype=np.float64) / len(labels)

    return score


def _map(probs: np.ndarray, labels: np.ndarray) -> Scorer:
    """Mean average precision over the classes that have a positive item in the resample.

    AP as average_precision.py has it, Σ (R_n - R_n-1) P_n: recall moves just at steps that hold a positive item, so
    that only how many items lie between those must be known.
    """
    steps = [[_positive_steps(p[:, k], labels[:, k]) for p in probs] for k in range(labels.shape[1])]

    def score(counts: np.ndarray) -> np.ndarray:
        items = np.ascontiguousarray(counts.T)  # (N, R): a row an item, as sparse products want it
        total, there = np.zeros((len(counts), len(probs))), np.zeros((len(counts), 1))
        for of_class in steps:
            found = np.stack([_ap(new @ items, hits @ items) for new, hits in of_class], 1)  # (R, seeds)
            total += np.nan_to_num(found)
            there += ~np.isnan(found[:, :1])  # the same of all seeds: positives decide
        return np.divide(total, there, out=np.full(total.shape, np.nan), where=there > 0)

    return score


def _positive_steps(scores: np.ndarray, labels: np.ndarray) -> tuple[csr_array, csr_array]:
    """Two tables of 0 and 1, (P, N): the items from the step before on, and the positive ones.

    P: the different scores that a positive item has, from the highest down. labels: 1 positive, 0 not, NaN not counted.
    """
    known = np.flatnonzero(~np.isnan(labels))
    positive = labels[known] == 1
    levels = np.unique(scores[known][positive])
    step = len(levels) - np.searchsorted(levels, scores[known], side="right")  # P: below them all, of no step
    shape = (len(levels), len(labels))

    def table(chosen: np.ndarray) -> csr_array:
        return csr_array((np.ones(chosen.sum(), np.float32), (step[chosen], known[chosen])), shape=shape)

    return table(step < len(levels)), table(positive)


def _ap(new: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """AP (R,) from the items and the positive items that each step adds, (P, R); NaN without any positive.

    float32, which counts exactly; a precision is right to 7 digits.
    """
    seen, precision = _accumulated(new), _accumulated(hits)
    total = hits.sum(0, dtype=np.float64)
    precision /= np.maximum(seen, 1, out=seen)  # where no item is seen, no hit is
    precision *= hits
    return np.divide(precision.sum(0, dtype=np.float64), total, out=np.full(len(total), np.nan), where=total > 0)


def _accumulated(values: np.ndarray) -> np.ndarray:
    """`values.cumsum(0)` of (P, R), but faster: in blocks of rows, all at once, then block on block."""
    size = max(1, round(len(values) ** 0.5))
    out = np.zeros((-(-len(values) // size), size, values.shape[1]), values.dtype)
    out.reshape(-1, values.shape[1])[: len(values)] = values
    for row in range(1, size):
        out[:, row] += out[:, row - 1]
    for block in range(1, len(out)):
        out[block] += out[block - 1, -1]
    return out.reshape(-1, values.shape[1])[: len(values)]


SCORERS: dict[str, Callable[[np.ndarray, np.ndarray], Scorer]] = {
    "accuracy": _accuracy,
    "macro_f1": _macro_f1,
    "nll": _nll,
    "ece": _ece,
    "map": _map,
}
LOWER_IS_BETTER = ("nll", "ece")

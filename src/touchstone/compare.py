"""Probs x Probs x labels -> verdict: a paired comparison with its interval."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy import stats

from touchstone.average_precision import average_precision
from touchstone.seeds import generator

RESAMPLES, COUNTS, WORKERS = 250, 2**22, 4  # resamples at a time, at most; counts of items in them; at once


@dataclass(frozen=True)
class Verdict:
    """The gain of a run over its baseline, its interval, and what that says."""

    gain: float
    low: float
    high: float

    @property
    def word(self) -> str:
        """helps where the interval lies above 0, hurts where it lies below, inconclusive otherwise."""
        if self.low > 0:
            return "helps"
        return "hurts" if self.high < 0 else "inconclusive"


def paired_bootstrap(
    run: np.ndarray, baseline: np.ndarray, *, num_resamples: int, confidence: float, seed: int
) -> Verdict:
    """Two-level paired percentile bootstrap of the gain in accuracy: over seeds, then over test items.

    run, baseline: bool (seeds, N), whether each seed is right on each item; seeds and items are paired. Of S > 1
    seeds each resample draws S - 1 with replacement, which makes the variance over few seeds unbiased (Rao & Wu
    1988, "Resampling inference with complex survey data"). Few seeds also know their own variance badly: the resamples
    are spread about the gain by t / z, with the degrees of freedom of Satterthwaite (1946), between S - 1 where the
    seeds decide and N - 1 where the items do. With one seed only items are drawn, and the interval says nothing about
    other seeds. Items with the same pattern of differences are drawn together, as multinomial counts: exact, and quick.

    Raises ValueError where the shapes differ.
    """
    if run.shape != baseline.shape:
        raise ValueError(f"run: got {run.shape}, expected the baseline's {baseline.shape}")
    difference = run.astype(np.int64) - baseline  # (seeds, N) of -1, 0, 1
    num_items = difference.shape[1]
    rng = generator(seed, "bootstrap")
    patterns, counts = np.unique(difference, axis=1, return_counts=True)  # (seeds, P), (P,)
    drawn_items = rng.multinomial(num_items, counts / num_items, num_resamples)  # (R, P)
    by_seed = drawn_items @ patterns.T / num_items  # (R, seeds)
    return _concluded(by_seed, float(difference.mean()), num_items=num_items, confidence=confidence, rng=rng)


def resampled_map(probs: np.ndarray, labels: np.ndarray, *, num_resamples: int, seed: int) -> np.ndarray:
    """Mean AP in resamples of the items: float32 (seeds, N, K), labels (N, K) -> float64 (num_resamples, seeds).

    The same `seed` gives the same resamples to all runs, which pairs them. Classes without a positive item in a
    resample are left out of its mean; without any it is NaN.
    """
    num_items = len(labels)
    at_once = max(1, min(RESAMPLES, COUNTS // num_items))
    starts = range(0, num_resamples, at_once)

    def some(start: int) -> np.ndarray:
        rng = generator(seed, "bootstrap items", start)
        size = min(at_once, num_resamples - start)
        return _mean_ap(rng.multinomial(num_items, np.full(num_items, 1 / num_items), size), probs, labels)

    with ThreadPoolExecutor(min(WORKERS, os.cpu_count() or 1)) as pool:
        return np.concatenate(list(pool.map(some, starts)))


def _mean_ap(counts: np.ndarray, probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """counts: how often each item was drawn, (R, N) -> (R, seeds)."""
    total = np.zeros((len(counts), len(probs)))
    there = np.zeros((len(counts), 1))
    for k in range(labels.shape[1]):
        known, positive = ~np.isnan(labels[:, k]), labels[:, k] == 1
        drawn = counts[:, known]
        found = np.stack([average_precision(p[known, k], positive[known], drawn) for p in probs], 1)  # (R, seeds)
        total += np.nan_to_num(found)
        there += ~np.isnan(found[:, :1])  # the same of all seeds: positives decide
    return np.divide(total, there, out=np.full(total.shape, np.nan), where=there > 0)


def around(by_seed: np.ndarray, value: float, *, num_items: int, confidence: float, seed: int) -> Verdict:
    """The interval of a value, such as a gain, whose resamples over items are known of each seed (`paired_bootstrap`).

    by_seed: float64 (R, seeds); rows that are NaN are left out. value: of all items, the mean over the seeds.
    """
    rows = by_seed[~np.isnan(by_seed).any(1)]
    return _concluded(rows, value, num_items=num_items, confidence=confidence, rng=generator(seed, "bootstrap seeds"))


def _concluded(
    by_seed: np.ndarray, gain: float, *, num_items: int, confidence: float, rng: np.random.Generator
) -> Verdict:
    """Draw seeds beside the items that were drawn, widen what few seeds say, and take the quantiles."""
    num_resamples, num_seeds = by_seed.shape
    drawn_seeds = max(1, num_seeds - 1)
    weights = rng.multinomial(drawn_seeds, np.full(num_seeds, 1 / num_seeds), num_resamples)  # (R, seeds)
    gains = (by_seed * weights).sum(1) / drawn_seeds
    item_variance = float(by_seed.mean(1).var())
    seed_variance = max(0.0, float(gains.var()) - item_variance)
    gains = gain + (gains - gain) * _widening(seed_variance, item_variance, num_seeds, num_items, confidence)
    tail = (1 - confidence) / 2
    low, high = np.quantile(gains, [tail, 1 - tail])
    return Verdict(gain=gain, low=float(low), high=float(high))


def _widening(seed_variance: float, item_variance: float, num_seeds: int, num_items: int, confidence: float) -> float:
    """t / z at Satterthwaite's degrees of freedom of the sum of the two variances; 1 where there is only one seed."""
    total = seed_variance + item_variance
    if num_seeds == 1 or total == 0:
        return 1.0
    share = seed_variance / total
    freedom = 1 / (share**2 / (num_seeds - 1) + (1 - share) ** 2 / max(1, num_items - 1))
    upper = (1 + confidence) / 2
    return float(stats.t.ppf(upper, freedom) / stats.norm.ppf(upper))

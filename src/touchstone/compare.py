"""Probs x Probs x labels -> verdict: a paired comparison with its interval."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from touchstone.seeds import generator


@dataclass(frozen=True)
class Verdict:
    """The gain in accuracy of a run over its baseline, its interval, and what that says."""

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
    num_seeds, num_items = difference.shape
    rng = generator(seed, "bootstrap")
    patterns, counts = np.unique(difference, axis=1, return_counts=True)  # (seeds, P), (P,)
    drawn_items = rng.multinomial(num_items, counts / num_items, num_resamples)  # (R, P)
    drawn_seeds = max(1, num_seeds - 1)
    weights = rng.multinomial(drawn_seeds, np.full(num_seeds, 1 / num_seeds), num_resamples)  # (R, seeds)
    by_seed = drawn_items @ patterns.T / num_items  # (R, seeds)
    gains = (by_seed * weights).sum(1) / drawn_seeds
    gain = float(difference.mean())
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

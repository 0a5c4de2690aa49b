"""Probs x Probs x labels -> verdict: a paired comparison with its interval, its p-value and what it could have seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from touchstone.seeds import generator

TINY = 1e-12
POWER = 0.8  # with which the smallest detectable gain would be seen
HALVINGS, LEAST = 20, 1e-4  # of the search for a p-value; where it begins: at 0 an interval has no width
HELPS, HURTS, INCONCLUSIVE = "helps", "hurts", "inconclusive"


@dataclass(frozen=True)
class Comparison:
    """A value of all seeds and test items, such as a gain in accuracy, and what it is in resamples of both.

    value: the mean over the seeds. resamples: float64 (R,), sorted. freedom: degrees of freedom with which their spread
    is known (Satterthwaite 1946). confidence: of the interval.
    """

    value: float
    resamples: np.ndarray
    freedom: float
    confidence: float

    def interval(self, confidence: float) -> tuple[float, float]:
        """The quantiles of the resamples, spread about the value by t / z: few seeds know their own variance badly."""
        upper = (1 + confidence) / 2
        widening = 1.0 if np.isinf(self.freedom) else stats.t.ppf(upper, self.freedom) / stats.norm.ppf(upper)
        low, high = np.quantile(self.resamples, [1 - upper, upper])
        return tuple(float(self.value + (end - self.value) * widening) for end in (low, high))  # type: ignore[return-value]

    @cached_property
    def ends(self) -> tuple[float, float]:
        """Of the interval at the confidence asked for."""
        return self.interval(self.confidence)

    @property
    def low(self) -> float:
        return self.ends[0]

    @property
    def high(self) -> float:
        return self.ends[1]

    @cached_property
    def p_value(self) -> float:
        """Two-sided: one less the highest confidence at which the interval leaves 0 out, found by halving.

        Not below 1 / (R + 1), which is what so many resamples can tell.
        """
        low, high = LEAST, 1 - 1 / (len(self.resamples) + 1)
        if not self._leaves_out_zero(low):
            return 1.0
        if self._leaves_out_zero(high):
            return 1 - high
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._leaves_out_zero(middle) else (low, middle)
        return 1 - low

    @property
    def chance(self) -> float:
        """The share of the resamples above 0, those at 0 by half: the probability of improvement."""
        return float((self.resamples > 0).mean() + (self.resamples == 0).mean() / 2)

    @property
    def detectable(self) -> float:
        """The smallest true gain that such a comparison would see with a power of 80 %: (t_upper + t_power) sd."""
        known = stats.norm if np.isinf(self.freedom) else stats.t(self.freedom)
        return float((known.ppf((1 + self.confidence) / 2) + known.ppf(POWER)) * self.resamples.std())

    @property
    def word(self) -> str:
        """helps where the interval lies above 0, hurts where it lies below, inconclusive otherwise."""
        low, high = self.ends
        return HELPS if low > 0 else HURTS if high < 0 else INCONCLUSIVE

    def _leaves_out_zero(self, confidence: float) -> bool:
        low, high = self.interval(confidence)
        return low > 0 or high < 0


def paired_bootstrap(
    run: np.ndarray, baseline: np.ndarray, *, num_resamples: int, confidence: float, seed: int
) -> Comparison:
    """Paired bootstrap of the gain in accuracy over test items, widened for what seeds add.

    run, baseline: bool (seeds, N), whether each seed is right on each item; seeds and items are paired. Items are
    drawn, with all their seeds; drawing seeds, too, would count what a seed and an item have of their own together up
    to three times (Owen 2007, "The pigeonhole bootstrap", arXiv 0712.1111). The resamples are spread about the gain to
    the unbiased variance of seeds crossed with items and, as few seeds know their variance badly, by t / z at the
    degrees of freedom of Satterthwaite (1946). With one seed the interval says nothing about other seeds. Items with
    the same pattern of differences are drawn together, as multinomial counts: exact, and quick.

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
    return around(by_seed, difference.mean(1), num_items=num_items, confidence=confidence)


def around(by_seed: np.ndarray, values: np.ndarray, *, num_items: int, confidence: float) -> Comparison:
    """The same of any value, such as a gain in mean average precision, whose resamples over items are known by seed.

    by_seed: float64 (R, seeds), see resampling.py; rows that are NaN are left out. values: (seeds,), of all items.
    """
    rows = by_seed[~np.isnan(by_seed).any(1)]
    value, together = float(values.mean()), rows.mean(1)  # (R,)
    variance, freedom = _crossed(rows, values, num_items)
    spread = float(together.std())
    if spread > TINY:  # never drawn in: of few items that differ, none may be in a resample
        resamples = value + (together - value) * max(1.0, np.sqrt(variance) / spread)
    else:
        resamples = value + np.sqrt(variance) * stats.norm.ppf((np.arange(len(rows)) + 0.5) / len(rows))
    return Comparison(value, np.sort(resamples), freedom, confidence)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of one family of comparisons, adjusted by Holm (1979): their family-wise error rate is controlled."""
    order = np.argsort(p_values, kind="stable")
    steps = np.array(p_values)[order] * (len(p_values) - np.arange(len(p_values)))
    out = np.empty(len(p_values))
    out[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return out.tolist()


def mcnemar(run: np.ndarray, baseline: np.ndarray) -> float:
    """The exact McNemar test (1947) of one seed's answers, bool (N,) each: its two-sided p-value; 1 without a pair that
    differs."""
    better, worse = int((run & ~baseline).sum()), int((~run & baseline).sum())
    return float(stats.binomtest(better, better + worse).pvalue) if better + worse else 1.0


def _crossed(by_seed: np.ndarray, values: np.ndarray, num_items: int) -> tuple[float, float]:
    """The variance of a mean over S seeds crossed with N items, and its degrees of freedom.

    Items alone, all seeds together: b. A seed's value varies by what is its own and by chance in which items it gets
    right, c, which is in b already: (s^2 - c)+ / S is added, with c = (a - b) S / (S - 1) from the mean variance a of
    one seed's resamples. In terms of mean squares this is (MS_items + (MS_seeds - MS_both)+) / (S N). The freedom is
    Satterthwaite's of b (N - 1) and s^2 / S (S - 1), at least S - 1, and 1 of two seeds, of which his rule expects too
    much; infinite of one seed.
    """
    num_seeds = len(values)
    b = float(by_seed.mean(1).var())
    if num_seeds == 1:
        return b, float("inf")
    a, s2 = float(by_seed.var(0).mean()), float(values.var(ddof=1))
    c = (a - b) * num_seeds / (num_seeds - 1)
    variance = b + max(0.0, s2 - c) / num_seeds
    if num_seeds == 2:
        return variance, 1.0
    below = (s2 / num_seeds) ** 2 / (num_seeds - 1) + b**2 / max(1, num_items - 1)
    return variance, max(num_seeds - 1.0, variance**2 / below) if below else float("inf")

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
    is known, infinite of one seed. confidence: of the interval.
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
        """The probability of improvement: one less half the p-value where the value is above 0, half of it below."""
        return 0.5 + float(np.sign(self.value)) * (1 - self.p_value) / 2

    def detectable(self, family: int = 1) -> float:
        """The smallest true gain that such a comparison would find with a power of 80 %: (t_upper + t_power) sd.

        family: comparisons that are judged together by Holm; where one alone has an effect, it must pass the first of
        his steps, which is Bonferroni's.
        """
        known = stats.norm if np.isinf(self.freedom) else stats.t(self.freedom)
        upper = 1 - (1 - self.confidence) / family / 2
        return float((known.ppf(upper) + known.ppf(POWER)) * self.resamples.std())

    @property
    def word(self) -> str:
        """helps where the interval lies above 0, hurts where it lies below, inconclusive otherwise."""
        low, high = self.ends
        return HELPS if low > 0 else HURTS if high < 0 else INCONCLUSIVE

    def _leaves_out_zero(self, confidence: float) -> bool:
        low, high = self.interval(confidence)
        return low > 0 or high < 0


@dataclass(frozen=True, eq=False)
class Paired:
    """A value such as a gain, by seed, and its resamples over test items, which are drawn with all their seeds.

    values: (S,), of all items. by_seed: float64 (R, S); rows that are NaN are left out of what follows.
    """

    values: np.ndarray
    by_seed: np.ndarray

    @cached_property
    def rows(self) -> np.ndarray:
        return self.by_seed[~np.isnan(self.by_seed).any(1)]

    @cached_property
    def together(self) -> np.ndarray:
        """The mean over the seeds in each resample, (R,)."""
        return self.rows.mean(1)

    @cached_property
    def of_seeds(self) -> float:
        """s^2, by which the values of seeds vary; 0 of one seed."""
        return float(self.values.var(ddof=1)) if len(self.values) > 1 else 0.0

    @cached_property
    def own(self) -> float:
        """Of that what is not chance in which items a seed gets right: s^2 - c, with c = (a - b) S / (S - 1) from the
        mean variance a of one seed's resamples and the variance b of their mean. It may be below 0."""
        num_seeds = len(self.values)
        if num_seeds == 1:
            return 0.0
        chance = (self.rows.var(0).mean() - self.together.var()) * num_seeds / (num_seeds - 1)
        return float(self.of_seeds - chance)


def paired_bootstrap(run: np.ndarray, baseline: np.ndarray, *, num_resamples: int, seed: int) -> Paired:
    """The gain in accuracy and its resamples; run, baseline: bool (seeds, N), whether each seed is right on each item.

    Items with the same pattern of differences are drawn together, as multinomial counts: exact, and quick. Raises
    ValueError where the shapes differ.
    """
    if run.shape != baseline.shape:
        raise ValueError(f"run: got {run.shape}, expected the baseline's {baseline.shape}")
    difference = run.astype(np.int64) - baseline  # (seeds, N) of -1, 0, 1
    num_items = difference.shape[1]
    patterns, counts = np.unique(difference, axis=1, return_counts=True)  # (seeds, P), (P,)
    drawn = generator(seed, "bootstrap").multinomial(num_items, counts / num_items, num_resamples)  # (R, P)
    return Paired(difference.mean(1), drawn @ patterns.T / num_items)


def conclude(found: Paired, *, confidence: float, pool: Sequence[Paired] = ()) -> Comparison:
    """Spread the resamples over items for what seeds add, and say how well that is known.

    The variance of a mean over S seeds crossed with items is b + (s^2 - c)+ / S (Paired.own): in mean squares
    (MS_items + (MS_seeds - MS_both)+) / (S N). Drawing seeds as well as items would count the last of these up to three
    times (Owen 2007, "The pigeonhole bootstrap", arXiv 0712.1111). Few seeds know their variance badly: it is pooled
    over comparisons with the same baseline, and the larger of the pooled one and the own one counts, but at least
    s^2 / (S - 1), as so few cannot tell what is their own from chance. The freedom is Satterthwaite's (1946) of b and
    the pooled s^2 / S, whose own is k (S - 1) / (1 + (k - 1) / 4) of k comparisons that share a baseline, half of whose
    variance is its; at least S - 1, and S - 1 of a comparison that has none to pool with.

    pool: those comparisons, this one among them or not; none by default. With one seed nothing is said of others.
    """
    num_seeds, value = len(found.values), float(found.values.mean())
    known = [found, *(other for other in pool if other is not found)]
    spread = float(found.together.std())
    pooled = float(np.mean([each.own for each in known]))
    least = float(np.mean([each.of_seeds for each in known])) / max(1, num_seeds - 1)
    added = max(found.own, pooled, least) / num_seeds if num_seeds > 1 else 0.0
    if spread > TINY:  # never drawn in: of few items that differ, none may be in a resample
        resamples = value + (found.together - value) * np.sqrt(1 + added / spread**2)
    else:
        even = (np.arange(len(found.rows)) + 0.5) / len(found.rows)
        resamples = value + np.sqrt(added) * stats.norm.ppf(even)
    freedom = _freedom(known, num_seeds, spread**2, added)
    return Comparison(value, np.sort(resamples), freedom, confidence)


def _freedom(known: list[Paired], num_seeds: int, of_items: float, added: float) -> float:
    if num_seeds == 1:
        return float("inf")
    count, least = len(known), num_seeds - 1
    of_seeds = float(np.mean([each.of_seeds for each in known])) / num_seeds
    if of_seeds == 0 or count == 1:
        return float(least)
    pooled = count * least / (1 + (count - 1) / 4)
    return max(float(least), (of_items + added) ** 2 / (of_seeds**2 / pooled))


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

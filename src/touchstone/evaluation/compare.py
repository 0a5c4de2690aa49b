"""Probs x Probs x labels -> verdict: a paired comparison with its interval, its p-value and what it could have seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats

from touchstone.seeds import generator

TINY = 1e-12
UNLIKE = 0.25  # the level of the test that the seeds of an arm vary like those of the others
POWER = 0.8  # with which the smallest detectable gain would be seen
HALVINGS, LEAST = 20, 1e-4  # of the search for a p-value; where it begins: at 0 an interval has no width
HELPS, HURTS, INCONCLUSIVE = "helps", "hurts", "inconclusive"


@dataclass(frozen=True)
class Comparison:
    """A value of all seeds and test items, such as a gain in accuracy, and what it is in resamples of both.

    value: the mean over the seeds. resamples: float64 (R,), sorted. freedom: degrees of freedom with which their spread
    is known, infinite of one seed. confidence: of the interval. least_p: below which no p-value is told, see `Paired`.
    """

    value: float
    resamples: np.ndarray
    freedom: float
    confidence: float
    least_p: float = 0.0

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

        Where so many resamples cannot tell, below 1 / (R + 1), it is that of their spread, by the t distribution.
        """
        low, high = LEAST, 1 - 1 / (len(self.resamples) + 1)
        if not self._leaves_out_zero(low):
            return 1.0
        if self._leaves_out_zero(high):
            tail = 2 * float(self._known.sf(abs(self.value) / self.resamples.std()))
            return max(self.least_p, min(1 - high, tail))
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._leaves_out_zero(middle) else (low, middle)
        return max(self.least_p, 1 - low)

    @property
    def chance(self) -> float:
        """The probability of improvement: one less half the p-value where the value is above 0, half of it below."""
        return 0.5 + float(np.sign(self.value)) * (1 - self.p_value) / 2

    def detectable(self, family: int = 1) -> float:
        """The smallest true gain that such a comparison would find with a power of 80 %: (t_upper + t_power) sd.

        family: comparisons that are judged together by Holm; where one alone has an effect, it must pass the first of
        his steps, which is Bonferroni's.
        """
        upper = 1 - (1 - self.confidence) / family / 2
        return float((self._known.ppf(upper) + self._known.ppf(POWER)) * self.resamples.std())

    @property
    def word(self) -> str:
        """helps where the interval lies above 0, hurts where it lies below and the p-value agrees, or inconclusive."""
        low, high = self.ends
        if self.p_value > 1 - self.confidence:
            return INCONCLUSIVE
        return HELPS if low > 0 else HURTS if high < 0 else INCONCLUSIVE

    @property
    def _known(self) -> Any:
        return stats.norm if np.isinf(self.freedom) else stats.t(self.freedom)

    def _leaves_out_zero(self, confidence: float) -> bool:
        low, high = self.interval(confidence)
        return low > 0 or high < 0


@dataclass(frozen=True, eq=False)
class Paired:
    """A value such as a gain, by seed, and its resamples over test items, which are drawn with all their seeds.

    values: (S,), of all items. by_seed: float64 (R, S); rows that are NaN are left out of what follows. least_sd: below
    which the spread over items is not taken to be, however few of them differ. least_p: the p-value of an exact test,
    or the least that such a test could give.
    """

    values: np.ndarray
    by_seed: np.ndarray
    least_sd: float = 0.0
    least_p: float = 0.0

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

    def of_these_seeds(self) -> "Paired":
        """Their mean as one: what is said of it is of these seeds alone."""
        whole = {"values": self.values.mean(keepdims=True), "by_seed": self.by_seed.mean(1, keepdims=True)}
        return replace(self, **whole)


def paired_bootstrap(run: np.ndarray, baseline: np.ndarray, *, num_resamples: int, seed: int) -> Paired:
    """The gain in accuracy and its resamples; run, baseline: bool (seeds, N), whether each seed is right on each item.

    Items with the same pattern of differences are drawn together, as multinomial counts: exact, and quick. Where few
    items differ, resamples know too little: the spread is at least that of one item among all, and the p-value at least
    McNemar's of one seed, or of several 2^(1 - d), the least that any test of the signs of d items that differ could
    give. Raises ValueError where the shapes differ.
    """
    if run.shape != baseline.shape:
        raise ValueError(f"run: got {run.shape}, expected the baseline's {baseline.shape}")
    difference = run.astype(np.int64) - baseline  # (seeds, N) of -1, 0, 1
    num_items = difference.shape[1]
    patterns, counts = np.unique(difference, axis=1, return_counts=True)  # (seeds, P), (P,)
    drawn = generator(seed, "bootstrap").multinomial(num_items, counts / num_items, num_resamples)  # (R, P)
    if len(run) == 1:
        least_p = mcnemar(run[0], baseline[0])
    else:
        least_p = min(1.0, 2.0 ** (1 - np.count_nonzero(difference.sum(0))))
    return Paired(difference.mean(1), drawn @ patterns.T / num_items, 1 / num_items, float(least_p))


def conclude(found: Paired, *, confidence: float, pool: Sequence[Paired] = ()) -> Comparison:
    """Spread the resamples over items for what seeds add, and say how well that is known.

    The variance of a mean over S seeds crossed with items is b + (s^2 - c)+ / S (Paired.own): in mean squares
    (MS_items + (MS_seeds - MS_both)+) / (S N). Drawing seeds as well as items would count the last of these up to three
    times (Owen 2007, "The pigeonhole bootstrap", arXiv 0712.1111). Few seeds know their variance badly: it is pooled
    over comparisons with the same baseline, and the larger of the pooled one and the own one counts, but at least
    s^2 / (S - 1), as so few cannot tell what is their own from chance. The freedom is Satterthwaite's (1946) of b and
    the pooled s^2 / S, whose own is k (S - 1) / (1 + (k - 1) / 4) of k comparisons that share a baseline, half of whose
    variance is its. Where a comparison's seeds vary by more than the others' do (an F test at the level UNLIKE), it is
    of b and its own s^2 / S, with S - 1; of one that has none to pool with S - 1; never less.

    pool: those comparisons, this one among them or not; none by default. With one seed nothing is said of others.
    """
    num_seeds, value = len(found.values), float(found.values.mean())
    known = [found, *(other for other in pool if other is not found)]
    drawn = float(found.together.std())
    spread = max(drawn, found.least_sd)
    pooled = float(np.mean([each.own for each in known]))
    least = float(np.mean([each.of_seeds for each in known])) / max(1, num_seeds - 1)
    added = max(found.own, pooled, least) / num_seeds if num_seeds > 1 else 0.0
    whole = spread**2 + added
    if drawn > TINY:  # about their own mean: images that are drawn twice make rankings look better than they are
        resamples = value + (found.together - found.together.mean()) * np.sqrt(whole) / drawn
    else:  # of few items that differ, none may be in a resample
        even = (np.arange(len(found.rows)) + 0.5) / len(found.rows)
        resamples = value + np.sqrt(whole) * stats.norm.ppf(even)
    if num_seeds == 1:
        freedom = float("inf")
    elif len(known) == 1:
        freedom = num_seeds - 1.0
    elif found.own > max(pooled, least) and _stands_out(found, known[1:]):
        freedom = _freedom(whole, found.of_seeds / num_seeds, num_seeds - 1)
    else:
        own = len(known) * (num_seeds - 1) / (1 + (len(known) - 1) / 4)
        freedom = _freedom(whole, least * (num_seeds - 1) / num_seeds, max(own, num_seeds - 1))
    return Comparison(value, np.sort(resamples), max(freedom, num_seeds - 1.0), confidence, found.least_p)


def _stands_out(found: Paired, others: list[Paired]) -> bool:
    """Whether its seeds vary by more than those of the others, by an F test."""
    num_free = len(found.values) - 1
    limit = stats.f.ppf(1 - UNLIKE, num_free, num_free * len(others))
    return found.of_seeds > limit * float(np.mean([each.of_seeds for each in others]))


def _freedom(whole: float, part: float, freedom: float) -> float:
    """Satterthwaite's, of a variance of which a part is known with `freedom` and the rest well."""
    return (whole / part) ** 2 * freedom if part > 0 else freedom


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

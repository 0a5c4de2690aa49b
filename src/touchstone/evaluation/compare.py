"""A run and its baseline -> a verdict: a paired comparison with its interval, p-value and smallest detectable gain."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats

from touchstone.seeds import generator

TINY = 1e-12
UNLIKE = 0.25  # the level of the test that a run's seeds vary like those of the other runs
POWER = 0.8  # the probability with which the smallest detectable gain is found
HALVINGS, LEAST = 20, 1e-4  # of the bisection for a p-value; its lowest confidence: at 0 an interval has no width
HELPS, HURTS, INCONCLUSIVE = "helps", "hurts", "inconclusive"


@dataclass(frozen=True)
class Comparison:
    """A value such as a gain in accuracy, with its distribution over resamples of seeds and test images."""

    value: float
    """The mean over the seeds."""
    resamples: np.ndarray
    """float64 (R,), sorted."""
    freedom: float
    """The degrees of freedom with which the resamples' spread is estimated; infinite with one seed."""
    confidence: float
    """The confidence of the interval, such as .95."""
    least_p: float = 0.0
    """The lowest p-value that may be reported (see `Paired`)."""

    def interval(self, confidence: float) -> tuple[float, float]:
        """The quantiles of the resamples, stretched about the value by t / z: few seeds estimate a variance poorly."""
        upper = (1 + confidence) / 2
        widening = 1.0 if np.isinf(self.freedom) else stats.t.ppf(upper, self.freedom) / stats.norm.ppf(upper)
        low, high = np.quantile(self.resamples, [1 - upper, upper])
        return tuple(float(self.value + (end - self.value) * widening) for end in (low, high))  # type: ignore[return-value]

    @cached_property
    def ends(self) -> tuple[float, float]:
        return self.interval(self.confidence)

    @property
    def low(self) -> float:
        return self.ends[0]

    @property
    def high(self) -> float:
        return self.ends[1]

    @cached_property
    def p_value(self) -> float:
        """Two-sided: one minus the highest confidence at which the interval excludes 0, found by bisection.

        Below 1 / (R + 1), which R resamples cannot resolve, the t distribution gives it from their spread.
        """
        low, high = LEAST, 1 - 1 / (len(self.resamples) + 1)
        if not self._excludes_zero(low):
            return 1.0
        if self._excludes_zero(high):
            tail = 2 * float(self._distribution.sf(abs(self.value) / self.resamples.std()))
            return max(self.least_p, min(1 - high, tail))
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._excludes_zero(middle) else (low, middle)
        return max(self.least_p, 1 - low)

    @property
    def chance(self) -> float:
        """The probability of improvement: 1 - p / 2 where the value is above 0, p / 2 where it is below."""
        return 0.5 + float(np.sign(self.value)) * (1 - self.p_value) / 2

    def detectable(self, family: int = 1) -> float:
        """The smallest true gain that such a comparison would find with a power of 80 %: (t_upper + t_power) sd.

        family: the number of comparisons adjusted together by Holm, whose first step is Bonferroni's.
        """
        upper = 1 - (1 - self.confidence) / family / 2
        return float((self._distribution.ppf(upper) + self._distribution.ppf(POWER)) * self.resamples.std())

    @property
    def verdict(self) -> str:
        """helps or hurts where the interval lies above or below 0 and the p-value agrees; otherwise inconclusive."""
        if self.p_value > 1 - self.confidence:
            return INCONCLUSIVE
        return HELPS if self.low > 0 else HURTS if self.high < 0 else INCONCLUSIVE

    @property
    def _distribution(self) -> Any:
        return stats.norm if np.isinf(self.freedom) else stats.t(self.freedom)

    def _excludes_zero(self, confidence: float) -> bool:
        low, high = self.interval(confidence)
        return low > 0 or high < 0


@dataclass(frozen=True, eq=False)
class Paired:
    """A value such as a gain for each seed, and its resamples over test images, each drawn with all its seeds."""

    values: np.ndarray
    """(S,), on all images."""
    by_seed: np.ndarray
    """The resamples, float64 (R, S); rows with NaN are left out."""
    least_sd: float = 0.0
    """The lowest standard deviation over images that may be assumed, however few of them differ."""
    least_p: float = 0.0
    """The p-value of an exact test, or the lowest that such a test could give."""

    @cached_property
    def defined(self) -> np.ndarray:
        """The resamples without NaN, (R', S)."""
        return self.by_seed[~np.isnan(self.by_seed).any(1)]

    @cached_property
    def seed_means(self) -> np.ndarray:
        """The mean over the seeds in each of these resamples, (R',)."""
        return self.defined.mean(1)

    @cached_property
    def seed_variance(self) -> float:
        """The variance s^2 between seeds; 0 with one seed."""
        return float(self.values.var(ddof=1)) if len(self.values) > 1 else 0.0

    @cached_property
    def excess_variance(self) -> float:
        """Between-seed variance minus sampling noise: s^2 - c. It may be below 0.

        c = (a - b) S / (S - 1), from the mean variance a of one seed's resamples and the variance b of their mean.
        """
        num_seeds = len(self.values)
        if num_seeds == 1:
            return 0.0
        noise = (self.defined.var(0).mean() - self.seed_means.var()) * num_seeds / (num_seeds - 1)
        return float(self.seed_variance - noise)

    def seeds_averaged(self) -> "Paired":
        """The mean over the seeds in place of one seed: a verdict on it concerns these seeds alone."""
        means = self.values.mean(keepdims=True), self.by_seed.mean(1, keepdims=True)
        return Paired(*means, self.least_sd, self.least_p)


def paired_bootstrap(run: np.ndarray, baseline: np.ndarray, *, num_resamples: int, seed: int) -> Paired:
    """The gain in accuracy and its resamples. run, baseline: bool (seeds, N), whether each seed is right on each image.

    Images with the same pattern of differences are drawn together, as multinomial counts, which is exact and fast.
    Where few images differ, resamples vary too little: the spread is at least that of one image among all. The p-value
    is at least McNemar's with one seed, and with several 2^(1 - d), the lowest that a test of the signs of d images
    that differ could give. Raises ValueError where the shapes differ.
    """
    if run.shape != baseline.shape:
        raise ValueError(f"run: got {run.shape}, expected the baseline's {baseline.shape}")
    difference = run.astype(np.int64) - baseline  # (seeds, N) of -1, 0, 1
    num_images = difference.shape[1]
    patterns, counts = np.unique(difference, axis=1, return_counts=True)  # (seeds, P), (P,)
    drawn = generator(seed, "bootstrap").multinomial(num_images, counts / num_images, num_resamples)  # (R, P)
    if len(run) == 1:
        least_p = mcnemar(run[0], baseline[0])
    else:
        least_p = min(1.0, 2.0 ** (1 - np.count_nonzero(difference.sum(0))))
    return Paired(difference.mean(1), drawn @ patterns.T / num_images, 1 / num_images, float(least_p))


def compare_paired(paired: Paired, *, confidence: float, pooled_with: Sequence[Paired] = ()) -> Comparison:
    """Widen the resamples over images by the variance that seeds add, and estimate how well that is known.

    The variance of a mean over S seeds crossed with images is b + (s^2 - c)+ / S (`Paired.excess_variance`), in mean
    squares (MS_images + (MS_seeds - MS_both)+) / (S N). Drawing seeds as well as images would count the last of these
    up to three times (Owen 2007, "The pigeonhole bootstrap", arXiv 0712.1111).

    Few seeds estimate a variance poorly. So the excess variance is averaged over the comparisons with the same
    baseline (pooled_with, which may include this one), and the larger of that mean and this comparison's own is used,
    but at least s^2 / (S - 1), since few seeds cannot separate it from noise. The degrees of freedom are
    Satterthwaite's (1946) for the sum of b and the pooled s^2 / S. The latter has k (S - 1) / (1 + (k - 1) / 4) in k
    comparisons, which share a baseline that contributes half of each variance. Where the seeds of a comparison vary by
    more than the others' do (an F test at the level UNLIKE), its own s^2 / S with S - 1 takes the place of the pooled
    one. A comparison that is pooled with no other has S - 1; none has fewer. With one seed the verdict concerns that
    seed alone.
    """
    num_seeds, value = len(paired.values), float(paired.values.mean())
    pool = [paired, *(other for other in pooled_with if other is not paired)]
    pooled = float(np.mean([one.excess_variance for one in pool]))
    least = float(np.mean([one.seed_variance for one in pool])) / max(1, num_seeds - 1)
    added = max(paired.excess_variance, pooled, least) / num_seeds if num_seeds > 1 else 0.0
    variance = max(float(paired.seed_means.std()), paired.least_sd) ** 2 + added
    if num_seeds == 1:
        freedom = float("inf")
    elif len(pool) == 1:
        freedom = num_seeds - 1.0
    elif paired.excess_variance > max(pooled, least) and _stands_out(paired, pool[1:]):
        freedom = _satterthwaite(variance, paired.seed_variance / num_seeds, num_seeds - 1)
    else:
        of_pool = max(len(pool) * (num_seeds - 1) / (1 + (len(pool) - 1) / 4), num_seeds - 1)
        freedom = _satterthwaite(variance, least * (num_seeds - 1) / num_seeds, of_pool)
    resamples = np.sort(_with_variance(paired, variance))
    return Comparison(value, resamples, max(freedom, num_seeds - 1.0), confidence, paired.least_p)


def _with_variance(paired: Paired, variance: float) -> np.ndarray:
    """The resamples of the mean over the seeds, (R',), moved to its value and stretched to this variance.

    They are moved, as images drawn twice make rankings look better than they are. Where so few images differ that no
    resample holds one, a normal distribution takes their place.
    """
    value, means, sd = float(paired.values.mean()), paired.seed_means, float(paired.seed_means.std())
    if sd > TINY:
        return value + (means - means.mean()) * np.sqrt(variance) / sd
    return value + np.sqrt(variance) * stats.norm.ppf((np.arange(len(means)) + 0.5) / len(means))


def _stands_out(paired: Paired, others: list[Paired]) -> bool:
    """Whether its seeds vary by more than those of the others, by an F test."""
    num_free = len(paired.values) - 1
    limit = stats.f.ppf(1 - UNLIKE, num_free, num_free * len(others))
    return paired.seed_variance > limit * float(np.mean([one.seed_variance for one in others]))


def _satterthwaite(whole: float, part: float, freedom: float) -> float:
    """The degrees of freedom of a variance of which a part has `freedom` and the rest is known well."""
    return (whole / part) ** 2 * freedom if part > 0 else freedom


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of one family of comparisons, adjusted by Holm (1979) for the family-wise error rate."""
    order = np.argsort(p_values, kind="stable")
    steps = np.array(p_values)[order] * (len(p_values) - np.arange(len(p_values)))
    out = np.empty(len(p_values))
    out[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return out.tolist()


def mcnemar(run: np.ndarray, baseline: np.ndarray) -> float:
    """The two-sided p-value of the exact McNemar test (1947), 1 where no image differs.

    run, baseline: bool (N,), whether one seed of each is right.
    """
    better, worse = int((run & ~baseline).sum()), int((~run & baseline).sum())
    return float(stats.binomtest(better, better + worse).pvalue) if better + worse else 1.0

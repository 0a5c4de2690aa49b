"""A run against its baseline by min F': a gain with its interval, p-value, verdict and smallest detectable size.

Every replicate (a seed) answers every test image, so replicates and images are two crossed random factors, and a gain
must hold for other replicates and for other images. With S replicates and N images

    se^2 = Var_images(mean gain of the replicates) / N + s^2 / S,    t = gain / se

where s^2 is the variance of the gain between replicates. t^2 is Clark's min F' (1973) for two conditions, the harmonic
sum of the F ratio by images and the one by replicates. Its degrees of freedom are Satterthwaite's (1946):
se^4 / (a^2 / (N - 1) + b^2 / f) for the two terms a and b, where f is S - 1 or, pooled, more (`compare_paired`).

References: H. H. Clark, The language-as-fixed-effect fallacy, J. Verbal Learning and Verbal Behavior 12 (1973);
F. E. Satterthwaite, An approximate distribution of estimates of variance components, Biometrics Bulletin 2 (1946);
S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian J. of Statistics 6 (1979).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import optimize, stats

UNLIKE = 0.25  # the level of the F test that a run's replicates vary more than those of the other runs
WILD = 0.01  # and so much more that the other runs do without its variance
POWER, QUANTILES = 0.8, 40  # of the smallest detectable gain; of the distribution of a variance
HELPS, HURTS, INCONCLUSIVE, TOO_FEW = "helps", "hurts", "inconclusive", "too few replicates"


@dataclass(frozen=True, eq=False)
class Paired:
    """A value such as a gain in each replicate, and how the mean over the replicates varies with the test images."""

    values: np.ndarray
    """(S,), on all images."""
    image_variance: float
    """The variance, over draws of the test images, of the mean over the replicates."""
    num_images: int
    """Or groups of them, where images come in groups."""
    least_p: float = 0.0
    """The p-value of an exact test, or the lowest that such a test could give."""

    @cached_property
    def replicate_variance(self) -> float:
        """s^2, the variance between replicates; 0 with one."""
        return float(self.values.var(ddof=1)) if len(self.values) > 1 else 0.0

    def averaged(self) -> "Paired":
        """The mean over the replicates in place of one: a verdict on it concerns these replicates alone."""
        return Paired(self.values.mean(keepdims=True), self.image_variance, self.num_images, self.least_p)


def paired_accuracy(run: np.ndarray, baseline: np.ndarray, groups: np.ndarray | None = None) -> Paired:
    """The gain in accuracy. run, baseline: bool (S, N), whether each replicate is right on each image.

    groups: int (N,), the group of each image, such as a patient. Images of a group may be right or wrong together, so
    the variance is that of the groups' sums, whatever the dependence within them.

    Where few images differ, they vary too little: their spread is taken to be at least that of one image among all,
    and no p-value falls below McNemar's with one replicate, or with several below 2^(1 - d), the lowest of a test of
    the signs of the d images (or groups) that differ. Raises ValueError where the shapes differ.
    """
    if run.shape != baseline.shape:
        raise ValueError(f"run: got {run.shape}, expected the baseline's {baseline.shape}")
    difference = run.astype(np.int8) - baseline  # (S, N) of -1, 0, 1
    by_image = difference.mean(0)
    num_images = len(by_image)
    units = np.arange(num_images) if groups is None else groups
    sums = np.bincount(units, weights=by_image)
    deviations = sums - by_image.mean() * np.bincount(units)
    num_units = len(sums)
    variance = num_units / (num_units - 1) * float((deviations**2).sum()) / num_images**2 if num_units > 1 else math.inf
    alone = len(run) == 1 and groups is None
    least_p = mcnemar(run[0], baseline[0]) if alone else min(1.0, 2.0 ** (1 - np.count_nonzero(sums)))
    return Paired(difference.mean(1), max(variance, 1 / num_images**2), num_units, float(least_p))


def paired_resampled(values: np.ndarray, resamples: np.ndarray, num_images: int) -> Paired:
    """The gain in a score of the whole test set, such as average precision, whose image term the bootstrap gives.

    values: (S,), on all images. resamples: float64 (R, S), the values in each resample of the images; rows with NaN,
    in which the score is undefined, are left out.
    """
    defined = resamples[~np.isnan(resamples).any(1)]
    variance = float(defined.mean(1).var(ddof=1)) if len(defined) > 1 else math.inf
    return Paired(values, variance, num_images)


@dataclass(frozen=True)
class Comparison:
    """A value such as a gain, with its standard error."""

    value: float
    """The mean over the replicates."""
    terms: tuple[float, float]
    """The squared standard error's parts: of the images and of the replicates."""
    freedoms: tuple[float, float]
    """The degrees of freedom with which each is estimated."""
    confidence: float
    """The confidence of intervals and verdicts, such as .95."""
    least_p: float = 0.0
    """The lowest p-value that may be reported (see `Paired`)."""
    too_few: bool = False
    """Whether the replicates are too few for a verdict."""

    @property
    def error(self) -> float:
        """The standard error over replicates and images."""
        return math.sqrt(sum(self.terms))

    @property
    def freedom(self) -> float:
        """The degrees of freedom of the standard error."""
        return float(_satterthwaite(np.array(self.terms), np.array(self.freedoms)))

    def interval(self, confidence: float) -> tuple[float, float]:
        """The two-sided t interval. It is widened where `least_p` asks for it, so that it agrees with the p-value."""
        error = self.error
        if 2 * self._tail < self.least_p < 1:
            error = abs(self.value) / float(stats.t.isf(self.least_p / 2, self.freedom))
        half = float(stats.t.ppf((1 + confidence) / 2, self.freedom)) * error
        return self.value - half, self.value + half

    @property
    def low(self) -> float:
        return self.interval(self.confidence)[0]

    @property
    def high(self) -> float:
        return self.interval(self.confidence)[1]

    @property
    def p_value(self) -> float:
        """Two-sided; 1 where the value is 0."""
        return max(self.least_p, 2 * self._tail) if self.value else 1.0

    @property
    def one_sided_confidence(self) -> float:
        """The highest confidence at which the one-sided interval leaves out 0: 1 - p / 2 for a gain, p / 2 for a loss.

        It is no probability that the gain is real.
        """
        return 0.5 + float(np.sign(self.value)) * (1 - self.p_value) / 2

    @property
    def _tail(self) -> float:
        return float(stats.t.sf(abs(self.value) / self.error, self.freedom)) if self.error else 0.5 * (self.value == 0)


def replicate_share(num_replicates: int, overlap: float = 0.0) -> float:
    """The variance of the mean over replicates, as a share of that between them: 1 / S + f / (1 - f).

    overlap: f, the share of its training images that a replicate has in common with another. Without it, replicates are
    independent. With it they vary together, and s^2 tells too little of the variance of their mean. The second term is
    that of Nadeau & Bengio, Inference for the generalization error, Machine Learning 52 (2003), for random subsets of
    one data set. It is a heuristic: no unbiased estimate exists.
    """
    return 1 / num_replicates + overlap / (1 - overlap)


def compare_paired(
    paired: Paired, *, confidence: float, pooled_with: Sequence[Paired] = (), overlap: float = 0.0
) -> Comparison:
    """Compare by min F', with the variance between replicates pooled over comparisons with the same baseline.

    Few replicates estimate a variance poorly. So s^2 is averaged over k comparisons (this one and pooled_with, which
    may include it). They share a baseline that contributes half of each variance, so the mean has about
    k (S - 1) / (1 + (k - 1) / 4) degrees of freedom. Where an F test at the level UNLIKE says that the replicates of
    this comparison vary more than the others', its own s^2 with S - 1 is used: pooling would give too many false
    verdicts. With three or more replicates, a comparison that stands out from two or more others at the level WILD is
    left out of their pools, as its variance would hide their gains. With one replicate the verdict concerns that one
    alone. Two replicates with nothing to pool allow no verdict: their variance has one degree of freedom. overlap: see
    `replicate_share`.
    """
    num_replicates = len(paired.values)
    pool = [paired, *_without(pooled_with, paired)]
    others = pool[1:]
    if len(pool) > 2 and num_replicates > 2:
        others = [other for other in others if not _stands_out(other, _without(pool, other), WILD)]
    variance, freedom = paired.replicate_variance, num_replicates - 1.0
    if others and not _stands_out(paired, others, UNLIKE):
        variance = float(np.mean([one.replicate_variance for one in (paired, *others)]))
        freedom *= (len(others) + 1) / (1 + len(others) / 4)
    return Comparison(
        float(paired.values.mean()),
        (paired.image_variance, variance * replicate_share(num_replicates, overlap)),
        (max(paired.num_images - 1.0, 1.0), max(freedom, 1.0)),
        confidence,
        paired.least_p,
        too_few=num_replicates == 2 and not others,
    )


def _without(pool: Sequence[Paired], one: Paired) -> list[Paired]:
    return [other for other in pool if other is not one]


def _stands_out(paired: Paired, others: Sequence[Paired], level: float) -> bool:
    """Whether its replicates vary by more than those of the others, by an F test at the given level."""
    num_free = len(paired.values) - 1
    if not num_free:
        return False
    limit = stats.f.ppf(1 - level, num_free, num_free * len(others))
    return paired.replicate_variance > limit * float(np.mean([one.replicate_variance for one in others]))


def _satterthwaite(variances: np.ndarray, freedoms: np.ndarray) -> np.ndarray:
    """The degrees of freedom of sums of independent variances, (..., parts); the largest where all are 0."""
    total = variances.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, total**2 / (variances**2 / freedoms).sum(-1), freedoms.max(-1))


@dataclass(frozen=True)
class Verdict:
    """The outcome of a comparison within its family."""

    word: str
    """HELPS, HURTS, INCONCLUSIVE or TOO_FEW."""
    p_value: float
    """Adjusted by Holm."""
    low: float
    high: float
    """The ends of the simultaneous interval: it leaves out 0 if and only if the word is helps or hurts."""


def judge(family: Sequence[Comparison]) -> list[Verdict]:
    """The verdicts of comparisons that are adjusted together by Holm, for the family-wise error rate.

    An interval has the level at which Holm's procedure tests its comparison: alpha / (m - i + 1) for the i-th smallest
    of m p-values, and from the first one that is not significant on that one's level. Comparisons with too few
    replicates make no claim: they are left out of the family and keep their own p-value and interval.
    """
    claims = [i for i, one in enumerate(family) if not one.too_few]
    adjusted = dict(zip(claims, holm([family[i].p_value for i in claims]), strict=True))
    out = []
    for i, one in enumerate(family):
        if one.too_few:
            out.append(Verdict(TOO_FEW, one.p_value, *one.interval(one.confidence)))
            continue
        alpha = 1 - one.confidence
        significant = [j for j in claims if adjusted[j] <= alpha]
        before = len(significant)
        if i in significant:
            before = sum((family[j].p_value, j) < (one.p_value, i) for j in significant)
        low, high = one.interval(1 - alpha / (len(claims) - before))
        word = INCONCLUSIVE
        if i in significant:
            word = HELPS if one.value > 0 else HURTS
        out.append(Verdict(word, adjusted[i], low, high))
    return out


def detectable(family: Sequence[Comparison], *, tests: int = 0) -> float:
    """The smallest true gain that a study like this one finds with a power of 80 %, on average over its comparisons.

    The power of each comes from the noncentral t distribution, at the level of Holm's first step: alpha over the
    number of tests in the family, by default that of these comparisons. As few replicates estimate their variance
    poorly, the power is averaged over what that variance may truly be, the estimate times f / chi2_f. NaN without
    comparisons; infinite where no gain would be found.
    """
    family = [one for one in family if one.error > 0]
    if not family:
        return math.nan
    shares = (np.arange(QUANTILES) + 0.5) / QUANTILES
    freedoms = np.array([one.freedoms for one in family])[:, None]  # (comparisons, 1, 2)
    scale = freedoms[..., 1] / stats.chi2.ppf(shares, freedoms[..., 1])  # (comparisons, QUANTILES)
    terms = np.array([one.terms for one in family])[:, None] * np.stack([np.ones_like(scale), scale], -1)
    error = np.sqrt(terms.sum(-1))
    freedom = np.array([one.freedom for one in family])[:, None]
    alpha = (1 - np.array([one.confidence for one in family])[:, None]) / max(tests, len(family))
    limit = stats.t.isf(alpha / 2, freedom)

    def power(gain: float) -> float:
        return float(np.nan_to_num(stats.nct.sf(limit, freedom, gain / error), nan=1.0).mean())

    high = float(error.max())
    while power(high) < POWER:
        high *= 2
        if high > 1e4:
            return math.inf
    return float(optimize.brentq(lambda gain: power(gain) - POWER, 0, high, xtol=1e-7))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of one family of comparisons, adjusted by Holm (1979) for the family-wise error rate."""
    order = np.argsort(p_values, kind="stable")
    steps = np.array(p_values)[order] * (len(p_values) - np.arange(len(p_values)))
    out = np.empty(len(p_values))
    out[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return out.tolist()


def mcnemar(run: np.ndarray, baseline: np.ndarray) -> float:
    """The two-sided p-value of the exact McNemar test (1947), 1 where no image differs.

    run, baseline: bool (N,), whether one replicate of each is right.
    """
    better, worse = int((run & ~baseline).sum()), int((~run & baseline).sum())
    return float(stats.binomtest(better, better + worse).pvalue) if better + worse else 1.0

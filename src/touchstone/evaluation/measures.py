"""What runs are judged by: accuracy, or, with several labels an image, mean average precision. One shape for both."""

import hashlib
from typing import Any, Protocol

import numpy as np

from touchstone.config.sections import Compare
from touchstone.evaluation import label_scores, scores
from touchstone.evaluation.average_precision import mean_average_precision
from touchstone.evaluation.compare import Comparison, Paired, conclude, mcnemar, paired_bootstrap
from touchstone.evaluation.resampling import resampled


class Measure(Protocol):
    """key: its name in metrics files. labels: of the test images. confidence: of intervals."""

    key: str
    labels: np.ndarray
    confidence: float

    def value(self, probs: np.ndarray, labels: np.ndarray) -> float:
        """The mean over the seeds, of any images; what selection looks at."""

    def scores(self, probs: np.ndarray, thresholds: np.ndarray | None) -> dict[str, float]:
        """All scores on the test images. thresholds: (K,), where an image may have several labels."""

    def compared(self, run: np.ndarray, baseline: np.ndarray) -> Paired:
        """The gain of a run over its baseline, paired by seeds and test images, and its resamples."""

    def exact_p(self, run: np.ndarray, baseline: np.ndarray) -> float | None:
        """The p-value of an exact test, where there is one."""

    def calibration(self, probs: np.ndarray) -> dict[str, float]:
        """nll and ece on the test images, means over the seeds."""


class Accuracy:
    """One label an image. labels: int64 (N,). seed: of the resamples."""

    key = "accuracy"

    def __init__(self, labels: np.ndarray, compare: Compare, *, seed: int) -> None:
        self.labels, self.confidence = labels, compare.confidence
        self._how: dict[str, Any] = {"num_resamples": compare.num_resamples, "seed": seed}

    def value(self, probs: np.ndarray, labels: np.ndarray) -> float:
        return float(scores.correct(probs, labels).mean())

    def scores(self, probs: np.ndarray, thresholds: np.ndarray | None) -> dict[str, float]:
        """With accuracy_low and accuracy_high, the ends of the interval of the accuracy itself."""
        right = scores.correct(probs, self.labels)
        own = conclude(paired_bootstrap(right, np.zeros_like(right), **self._how), confidence=self.confidence)
        return scores.score(probs, self.labels) | _ends(self.key, own)

    def compared(self, run: np.ndarray, baseline: np.ndarray) -> Paired:
        return paired_bootstrap(*(scores.correct(probs, self.labels) for probs in (run, baseline)), **self._how)

    def calibration(self, probs: np.ndarray) -> dict[str, float]:
        return scores.calibration(probs, self.labels)

    def exact_p(self, run: np.ndarray, baseline: np.ndarray) -> float | None:
        """McNemar's, of one seed each."""
        one, other = (scores.correct(probs, self.labels) for probs in (run, baseline))
        return mcnemar(one[0], other[0]) if len(one) == len(other) == 1 else None


class MeanAP:
    """Several labels an image. labels: float32 (N, K), see labels.py. seed: of the resamples."""

    key = "map"

    def __init__(self, labels: np.ndarray, compare: Compare, *, seed: int) -> None:
        self.labels, self.compare, self.seed = labels, compare, seed
        self.confidence = compare.confidence
        self._known: dict[bytes, np.ndarray] = {}

    def value(self, probs: np.ndarray, labels: np.ndarray) -> float:
        return float(_each_seed(probs, labels).mean())

    def scores(self, probs: np.ndarray, thresholds: np.ndarray | None) -> dict[str, float]:
        """With map_low and map_high, the ends of the interval of the mean AP itself."""
        if thresholds is None:
            raise ValueError("thresholds: got None, expected one a class")
        own = conclude(Paired(_each_seed(probs, self.labels), self._resampled(probs)), confidence=self.confidence)
        return label_scores.score(probs, self.labels, thresholds, self.compare) | _ends(self.key, own)

    def compared(self, run: np.ndarray, baseline: np.ndarray) -> Paired:
        gains = _each_seed(run, self.labels) - _each_seed(baseline, self.labels)
        return Paired(gains, self._resampled(run) - self._resampled(baseline))

    def calibration(self, probs: np.ndarray) -> dict[str, float]:
        return label_scores.calibration(probs, self.labels)

    def exact_p(self, run: np.ndarray, baseline: np.ndarray) -> float | None:
        return None

    def _resampled(self, probs: np.ndarray) -> np.ndarray:
        """(R, seeds); a run is compared with several others, its resamples are counted once."""
        key = hashlib.sha256(probs.tobytes()).digest()
        if key not in self._known:
            how: dict[str, Any] = {"num_resamples": self.compare.num_resamples, "seed": self.seed}
            self._known[key] = resampled("map", probs, self.labels, **how)
        return self._known[key]


def _ends(key: str, own: Comparison) -> dict[str, float]:
    """Of the interval of a share."""
    return {f"{key}_low": max(0.0, own.low), f"{key}_high": min(1.0, own.high)}


def _each_seed(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean AP of (seeds, N, K), float64 (seeds,)."""
    return np.array([mean_average_precision(p, labels) for p in probs])


def measure(labels: np.ndarray, compare: Compare, *, seed: int) -> Measure:
    """Of test labels int64 (N,) or float32 (N, K)."""
    return Accuracy(labels, compare, seed=seed) if labels.ndim == 1 else MeanAP(labels, compare, seed=seed)

"""What runs are judged by: accuracy, or mean average precision where images may have several labels."""

import hashlib
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from touchstone.config.schema.evaluation import Compare
from touchstone.evaluation.compare import Comparison, Paired, compare_paired, mcnemar, paired_bootstrap
from touchstone.evaluation.metrics import primary
from touchstone.evaluation.resampling import resample
from touchstone.evaluation.scores import calibration_scores, correct, score


class Measure(ABC):
    """The score that runs are judged by, on these test images, and how runs are compared by it.

    labels: of the test images, int64 (N,), or float32 (N, K) where an image may have several. seed: of the resamples.
    """

    def __init__(self, labels: np.ndarray, compare: Compare, *, seed: int) -> None:
        self.labels, self.compare = labels, compare
        self.metric = primary(multi_label=labels.ndim == 2)
        self._resamples: dict[str, Any] = {"num_resamples": compare.num_resamples, "seed": seed}

    @property
    def key(self) -> str:
        """Its name in metrics.json."""
        return self.metric.key

    @property
    def confidence(self) -> float:
        """The confidence of the intervals."""
        return self.compare.confidence

    def value(self, probs: np.ndarray, labels: np.ndarray) -> float:
        """The mean over the seeds on any images, by which members of ensembles are selected."""
        return float(self.metric.values(probs, labels).mean())

    def scores(self, probs: np.ndarray, thresholds: np.ndarray | None) -> dict[str, float]:
        """Every score of the test images, with <key>_low and <key>_high, the interval of this one.

        thresholds: (K,), where an image may have several labels.
        """
        row = score(probs, self.labels, thresholds=thresholds, compare=self.compare)
        interval = compare_paired(self.alone(probs), confidence=self.confidence)
        return row | _ends(self.key, interval)

    def calibration(self, probs: np.ndarray) -> dict[str, float]:
        """The scores of the test images that depend on the temperature, means over the seeds."""
        return calibration_scores(probs, self.labels)

    @abstractmethod
    def alone(self, probs: np.ndarray) -> Paired:
        """A run's own score on the test images, and its resamples."""

    @abstractmethod
    def compared(self, run: np.ndarray, baseline: np.ndarray) -> Paired:
        """The gain of a run over its baseline, paired by seeds and test images, and its resamples."""

    def exact_p(self, run: np.ndarray, baseline: np.ndarray) -> float | None:
        """The p-value of an exact test, where there is one."""
        return None


class Accuracy(Measure):
    """One class an image: whether it is right, resampled with all other images of the same pattern of differences."""

    def value(self, probs: np.ndarray, labels: np.ndarray) -> float:
        """Counted over all seeds at once: equally many right ones give the same number, and rounding decides no tie."""
        return float(correct(probs, labels).mean())

    def alone(self, probs: np.ndarray) -> Paired:
        right = correct(probs, self.labels)
        return paired_bootstrap(right, np.zeros_like(right), **self._resamples)

    def compared(self, run: np.ndarray, baseline: np.ndarray) -> Paired:
        return paired_bootstrap(*(correct(probs, self.labels) for probs in (run, baseline)), **self._resamples)

    def exact_p(self, run: np.ndarray, baseline: np.ndarray) -> float | None:
        """That of McNemar's test, with one seed."""
        one, other = (correct(probs, self.labels) for probs in (run, baseline))
        return mcnemar(one[0], other[0]) if len(one) == len(other) == 1 else None


class MeanAP(Measure):
    """Several labels an image: mean average precision in resamples of the images."""

    def __init__(self, labels: np.ndarray, compare: Compare, *, seed: int) -> None:
        super().__init__(labels, compare, seed=seed)
        self._kept: dict[bytes, np.ndarray] = {}

    def alone(self, probs: np.ndarray) -> Paired:
        return Paired(self.metric.values(probs, self.labels), self._resampled(probs))

    def compared(self, run: np.ndarray, baseline: np.ndarray) -> Paired:
        gains = self.metric.values(run, self.labels) - self.metric.values(baseline, self.labels)
        return Paired(gains, self._resampled(run) - self._resampled(baseline))

    def _resampled(self, probs: np.ndarray) -> np.ndarray:
        """(R, seeds). They are kept, since a run is compared with several others."""
        key = hashlib.sha256(probs.tobytes()).digest()
        if key not in self._kept:
            self._kept[key] = resample(self.metric, probs, self.labels, **self._resamples)
        return self._kept[key]


def _ends(key: str, interval: Comparison) -> dict[str, float]:
    """The ends of the interval of a share."""
    return {f"{key}_low": max(0.0, interval.low), f"{key}_high": min(1.0, interval.high)}


def measure(labels: np.ndarray, compare: Compare, *, seed: int) -> Measure:
    """The measure for these test labels, int64 (N,) or float32 (N, K)."""
    return (Accuracy if labels.ndim == 1 else MeanAP)(labels, compare, seed=seed)

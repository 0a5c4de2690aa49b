"""How runs are judged and compared: by accuracy, or by mean average precision where images may have several labels."""

import hashlib
from typing import Any

import numpy as np

from touchstone.config.schema.evaluation import Compare
from touchstone.evaluation.compare import Paired, compare_paired, mcnemar, paired_accuracy, paired_resampled
from touchstone.evaluation.metrics import metrics_of
from touchstone.evaluation.resampling import resample
from touchstone.evaluation.scores import correct, score


class Measure:
    """The primary score on these test images, and comparisons by it in resamples of the images.

    labels: of the test images, int64 (N,), or float32 (N, K) where an image may have several. seed: of the resamples.
    """

    def __init__(self, labels: np.ndarray, compare: Compare, *, seed: int) -> None:
        self.labels, self.compare, self.confidence = labels, compare, compare.confidence
        self.metrics = metrics_of(multi_label=labels.ndim == 2)
        self.metric = self.metrics[0]
        self.key = self.metric.key  # in metrics.json
        self._resamples: dict[str, Any] = {"num_resamples": compare.num_resamples, "seed": seed}
        self._kept: dict[bytes, np.ndarray] = {}

    def scores(self, probs: np.ndarray, thresholds: np.ndarray | None) -> dict[str, float]:
        """Every score of the test images, with <key>_low and <key>_high, the interval of the primary one.

        thresholds: (K,), where an image may have several labels.
        """
        row = score(probs, self.labels, thresholds=thresholds, compare=self.compare)
        interval = compare_paired(self.alone(probs), confidence=self.confidence)
        return row | {f"{self.key}_low": max(0.0, interval.low), f"{self.key}_high": min(1.0, interval.high)}

    def calibration(self, probs: np.ndarray) -> dict[str, float]:
        """The scores of the test images that depend on the temperature, means over the seeds."""
        return {m.key: float(m.values(probs, self.labels).mean()) for m in self.metrics if m.scaled}

    def value(self, probs: np.ndarray, labels: np.ndarray) -> float:
        """The mean over the seeds on any images, by which members of ensembles are selected."""
        return float(self.metric.values(probs, labels).mean())

    def alone(self, probs: np.ndarray) -> Paired:
        """A run's own score on the test images."""
        return paired_resampled(self.metric.values(probs, self.labels), self._resampled(probs), len(probs[0]))

    def compared(self, run: np.ndarray, baseline: np.ndarray) -> Paired:
        """The gain of a run over its baseline, paired by seeds and test images."""
        gains = self.metric.values(run, self.labels) - self.metric.values(baseline, self.labels)
        return paired_resampled(gains, self._resampled(run) - self._resampled(baseline), len(run[0]))

    def exact_p(self, run: np.ndarray, baseline: np.ndarray) -> float | None:
        """The p-value of an exact test, where there is one."""
        return None

    def _resampled(self, probs: np.ndarray) -> np.ndarray:
        """(R, seeds). They are kept, since a run is compared with several others."""
        key = hashlib.sha256(probs.tobytes()).digest()
        if key not in self._kept:
            self._kept[key] = resample(self.metric, probs, self.labels, **self._resamples)
        return self._kept[key]


class Accuracy(Measure):
    """With one class an image, the score is a mean over images, whose variance needs no resamples."""

    def value(self, probs: np.ndarray, labels: np.ndarray) -> float:
        """Counted over all seeds at once: equally many right ones give the same number, and rounding decides no tie."""
        return float(correct(probs, labels).mean())

    def alone(self, probs: np.ndarray) -> Paired:
        right = correct(probs, self.labels)
        return paired_accuracy(right, np.zeros_like(right))

    def compared(self, run: np.ndarray, baseline: np.ndarray) -> Paired:
        return paired_accuracy(correct(run, self.labels), correct(baseline, self.labels))

    def exact_p(self, run: np.ndarray, baseline: np.ndarray) -> float | None:
        """McNemar's test, with one seed."""
        one, other = correct(run, self.labels), correct(baseline, self.labels)
        return mcnemar(one[0], other[0]) if len(one) == len(other) == 1 else None


def measure(labels: np.ndarray, compare: Compare, *, seed: int) -> Measure:
    """The measure for these test labels, int64 (N,) or float32 (N, K)."""
    return (Accuracy if labels.ndim == 1 else Measure)(labels, compare, seed=seed)

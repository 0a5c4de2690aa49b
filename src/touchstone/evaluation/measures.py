"""Measures by which runs are judged: accuracy, or mean average precision where images may have several labels."""

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
    groups: int (N,), where images come in groups that are drawn together. overlap: of the replicates' training images,
    where they have their own. own_images: whether they have, be they real or generated.
    """

    def __init__(
        self,
        labels: np.ndarray,
        compare: Compare,
        *,
        seed: int,
        groups: np.ndarray | None = None,
        overlap: float = 0.0,
        own_images: bool = False,
    ) -> None:
        self.labels, self.compare, self.confidence = labels, compare, compare.confidence
        self.metrics = metrics_of(multi_label=labels.ndim == 2)
        self.metric = self.metrics[0]
        self.key = self.metric.key  # in metrics.json
        self.groups, self.overlap, self.own_images = groups, overlap, own_images
        self._resamples: dict[str, Any] = {"num_resamples": compare.num_resamples, "seed": seed, "groups": groups}
        self._kept: dict[bytes, np.ndarray] = {}

    def scores(self, probs: np.ndarray, thresholds: np.ndarray | None) -> dict[str, float]:
        """Every score of the test images, with <key>_low and <key>_high, the interval of the primary one.

        thresholds: (K,), where an image may have several labels.
        """
        row = score(probs, self.labels, thresholds=thresholds, compare=self.compare)
        interval = compare_paired(self.alone(probs), confidence=self.confidence, overlap=self.overlap)
        return row | {f"{self.key}_low": max(0.0, interval.low), f"{self.key}_high": min(1.0, interval.high)}

    def calibration(self, probs: np.ndarray) -> dict[str, float]:
        """The scores of the test images that depend on the temperature, means over the seeds."""
        return {m.key: float(m.values(probs, self.labels).mean()) for m in self.metrics if m.scaled}

    def value(self, probs: np.ndarray, labels: np.ndarray) -> float:
        """The mean over the seeds on any images, by which members of ensembles are selected."""
        return float(self.metric.values(probs, labels).mean())

    def alone(self, probs: np.ndarray) -> Paired:
        """A run's own score on the test images."""
        return paired_resampled(self.metric.values(probs, self.labels), self._resampled(probs), self._num_units)

    def compared(self, run: np.ndarray, baseline: np.ndarray) -> Paired:
        """The gain of a run over its baseline, paired by seeds and test images."""
        gains = self.metric.values(run, self.labels) - self.metric.values(baseline, self.labels)
        return paired_resampled(gains, self._resampled(run) - self._resampled(baseline), self._num_units)

    def exact_p(self, run: np.ndarray, baseline: np.ndarray) -> float | None:
        """The p-value of an exact test, where there is one."""
        return None

    def dependence(self, probs: np.ndarray) -> dict[str, float]:
        """Return how alike a run answers the images of a group, where there are groups and one label an image."""
        return {}

    @property
    def _num_units(self) -> int:
        return len(self.labels) if self.groups is None else int(self.groups.max()) + 1

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
        return paired_accuracy(right, np.zeros_like(right), self.groups)

    def compared(self, run: np.ndarray, baseline: np.ndarray) -> Paired:
        return paired_accuracy(correct(run, self.labels), correct(baseline, self.labels), self.groups)

    def dependence(self, probs: np.ndarray) -> dict[str, float]:
        """effective_images: the number of independent images that would tell the accuracy as well (Kish 1965).

        It is N over the design effect, the variance with groups over that without. group_correlation is the intraclass
        correlation of right answers that explains it, (effect - 1) / (m - 1), with m = sum of squared sizes / N.
        """
        if self.groups is None:
            return {}
        right = correct(probs, self.labels)
        independent = paired_accuracy(right, np.zeros_like(right)).image_variance
        effect = self.alone(probs).image_variance / independent
        size = float((np.bincount(self.groups) ** 2).sum() / len(self.groups))
        correlation = (effect - 1) / (size - 1) if size > 1 else 0.0
        return {"effective_images": len(self.labels) / effect, "group_correlation": correlation}

    def exact_p(self, run: np.ndarray, baseline: np.ndarray) -> float | None:
        """McNemar's test, with one seed and independent images."""
        if self.groups is not None:
            return None
        one, other = correct(run, self.labels), correct(baseline, self.labels)
        return mcnemar(one[0], other[0]) if len(one) == len(other) == 1 else None


def measure(labels: np.ndarray, compare: Compare, **options: Any) -> Measure:
    """The measure for these test labels, int64 (N,) or float32 (N, K); options: those of `Measure`."""
    return (Accuracy if labels.ndim == 1 else Measure)(labels, compare, **options)

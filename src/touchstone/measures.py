"""What runs are judged by: accuracy, or, with several labels an image, mean average precision. One shape for both."""

import hashlib
from typing import Any, Protocol

import numpy as np

from touchstone import label_scores, scores
from touchstone.average_precision import mean_average_precision
from touchstone.compare import Verdict, around, paired_bootstrap, resampled_map
from touchstone.sections import Compare


class Measure(Protocol):
    """key: its name in metrics files. labels: of the test images."""

    key: str
    labels: np.ndarray

    def value(self, probs: np.ndarray, labels: np.ndarray) -> float:
        """The mean over the seeds, of any images; what selection looks at."""

    def scores(self, probs: np.ndarray, thresholds: np.ndarray | None) -> dict[str, float]:
        """All scores on the test images. thresholds: (K,), where an image may have several labels."""

    def compared(self, run: np.ndarray, baseline: np.ndarray) -> Verdict:
        """The gain of a run over its baseline, paired by seeds and test images."""


class Accuracy:
    """One label an image. labels: int64 (N,). seed: of the resamples."""

    key = "accuracy"

    def __init__(self, labels: np.ndarray, compare: Compare, *, seed: int) -> None:
        self.labels = labels
        self._how: dict[str, Any] = {
            "num_resamples": compare.num_resamples,
            "confidence": compare.confidence,
            "seed": seed,
        }

    def value(self, probs: np.ndarray, labels: np.ndarray) -> float:
        return float(scores.correct(probs, labels).mean())

    def scores(self, probs: np.ndarray, thresholds: np.ndarray | None) -> dict[str, float]:
        return scores.score(probs, self.labels)

    def compared(self, run: np.ndarray, baseline: np.ndarray) -> Verdict:
        return paired_bootstrap(*(scores.correct(probs, self.labels) for probs in (run, baseline)), **self._how)


class MeanAP:
    """Several labels an image. labels: float32 (N, K), see labels.py. seed: of the resamples."""

    key = "map"

    def __init__(self, labels: np.ndarray, compare: Compare, *, seed: int) -> None:
        self.labels, self.compare, self.seed = labels, compare, seed
        self._known: dict[bytes, np.ndarray] = {}

    def value(self, probs: np.ndarray, labels: np.ndarray) -> float:
        return float(np.mean([mean_average_precision(p, labels) for p in probs]))

    def scores(self, probs: np.ndarray, thresholds: np.ndarray | None) -> dict[str, float]:
        """With map_low and map_high, the ends of the interval of the mean AP itself."""
        if thresholds is None:
            raise ValueError("thresholds: got None, expected one a class")
        found = label_scores.score(probs, self.labels, thresholds, self.compare)
        around = self._verdict(self._resampled(probs), found["map"])
        return found | {"map_low": around.low, "map_high": around.high}

    def compared(self, run: np.ndarray, baseline: np.ndarray) -> Verdict:
        gain = self.value(run, self.labels) - self.value(baseline, self.labels)
        return self._verdict(self._resampled(run) - self._resampled(baseline), gain)

    def _verdict(self, by_seed: np.ndarray, value: float) -> Verdict:
        how: dict[str, Any] = {"confidence": self.compare.confidence, "seed": self.seed}
        return around(by_seed, value, num_items=len(self.labels), **how)

    def _resampled(self, probs: np.ndarray) -> np.ndarray:
        """(R, seeds); a run is compared with several others, its resamples are counted once."""
        key = hashlib.sha256(probs.tobytes()).digest()
        if key not in self._known:
            how: dict[str, Any] = {"num_resamples": self.compare.num_resamples, "seed": self.seed}
            self._known[key] = resampled_map(probs, self.labels, **how)
        return self._known[key]


def measure(labels: np.ndarray, compare: Compare, *, seed: int) -> Measure:
    """Of test labels int64 (N,) or float32 (N, K)."""
    return Accuracy(labels, compare, seed=seed) if labels.ndim == 1 else MeanAP(labels, compare, seed=seed)

"""Seconds for the resamples of a whole study: ten arms against a baseline, by each score, beside plainer ways.

    python benchmarks/bootstrap.py --resamples 10000 --items 10000 --arms 10

collapsed is what verdicts on accuracy use: items with the same pattern of differences are drawn together, as
multinomial counts. counts is what every other score uses: how often each item is in a resample, by matrix products
(map: mean average precision of ten classes, each a ranking of its own).
gather draws the items of each resample and takes their mean, in NumPy; loop is the same in plain Python. The last two
are timed on a share of the resamples and scaled up. A table is in docs/evidence.md.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from touchstone.evaluation.compare import conclude, paired_bootstrap
from touchstone.evaluation.resampling import together

SEEDS, CLASSES, SHARE = 3, 10, 100  # of the resamples, one in SHARE is timed where all would take too long


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--arms", type=int, default=10)
    known = parser.parse_args()
    rng = np.random.default_rng(0)
    labels = rng.integers(CLASSES, size=known.items)
    hard = rng.normal(size=known.items)
    runs = [_run(rng, labels, hard) for _ in range(known.arms + 1)]
    right = [run.argmax(2) == labels for run in runs]
    several = np.eye(CLASSES, dtype=np.float32)[labels]  # a label of CLASSES an image, read as several

    def collapsed() -> None:
        for arm in right[1:]:
            conclude(paired_bootstrap(arm, right[0], num_resamples=known.resamples, seed=0), confidence=0.95)

    found = {"accuracy, collapsed": (_timed(collapsed), 1.0)}
    for metric in ("accuracy", "macro_f1", "nll", "ece", "map"):

        def counted(metric: str = metric) -> None:
            truth = several if metric == "map" else labels
            together([(metric, run) for run in runs], truth, num_resamples=known.resamples, seed=0)

        found[f"{metric}, counts"] = (_timed(counted), 1.0)
    some = known.resamples // SHARE
    gains = [arm.mean(0) - right[0].mean(0) for arm in right[1:]]

    def gather() -> None:
        for gain in gains:
            gain[rng.integers(known.items, size=(some, known.items))].mean(1)

    def loop() -> None:
        values = gains[0].tolist()
        for _ in range(max(1, some // 10)):
            sum(values[i] for i in rng.integers(known.items, size=known.items).tolist())

    found["accuracy, gather"] = (_timed(gather), known.resamples / some)
    found["accuracy, loop"] = (_timed(loop), known.arms * known.resamples / max(1, some // 10))
    least = found["accuracy, collapsed"][0]
    print("| resamples of | seconds | ratio |\n| :--- | ---: | ---: |")
    for name, (seconds, scale) in found.items():
        print(f"| {name} | {seconds * scale:.2f} | {seconds * scale / least:.0f} |")


def _run(rng: np.random.Generator, labels: np.ndarray, hard: np.ndarray) -> np.ndarray:
    """Probabilities (SEEDS, N, CLASSES) that are right on some 8 in 10 items, the same ones mostly."""
    score = rng.normal(size=(SEEDS, len(labels), CLASSES))
    score[:, np.arange(len(labels)), labels] += 3 - 1.5 * hard
    exponent = np.exp(score)
    return (exponent / exponent.sum(2, keepdims=True)).astype(np.float32)


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

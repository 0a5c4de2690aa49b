"""Seconds for the resamples of a whole study: ten arms against a baseline, by each metric, beside plainer ways.

    python benchmarks/bootstrap.py --resamples 10000 --items 10000 --arms 10

closed form: how verdicts on accuracy are reached, whose variance over images needs no resamples. counts: how
`touchstone compare` resamples every other metric, by matrix products with how often each image is in a resample (map:
mean average precision of ten classes). gather: draws the images of each resample and takes their mean, in NumPy. loop:
the same in plain Python. The last two are timed on a share of the resamples and scaled up. Figures: docs/evidence.md.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from touchstone.evaluation.compare import compare_paired, paired_accuracy
from touchstone.evaluation.metrics import Metric, metrics_of
from touchstone.evaluation.resampling import resample_all

SEEDS, CLASSES, SHARE = 3, 10, 100  # one resample in SHARE is timed where all would take too long


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--arms", type=int, default=10)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    labels = rng.integers(CLASSES, size=arguments.items)
    hard = rng.normal(size=arguments.items)
    runs = [_run(rng, labels, hard) for _ in range(arguments.arms + 1)]
    right = [run.argmax(2) == labels for run in runs]
    one_hot = np.eye(CLASSES, dtype=np.float32)[labels]  # as if an image could have several labels

    def closed_form() -> None:
        for arm in right[1:]:
            compare_paired(paired_accuracy(arm, right[0]), confidence=0.95)

    seconds = {"accuracy, closed form": (_timed(closed_form), 1.0)}
    for truth in (labels, one_hot):
        for metric in (metric for metric in metrics_of(multi_label=truth.ndim == 2) if metric.compared):

            def counted(metric: Metric = metric, truth: np.ndarray = truth) -> None:
                resample_all([(metric, run) for run in runs], truth, num_resamples=arguments.resamples, seed=0)

            seconds[f"{metric.key}, counts"] = (_timed(counted), 1.0)
    some = arguments.resamples // SHARE
    gains = [arm.mean(0) - right[0].mean(0) for arm in right[1:]]

    def gather() -> None:
        for gain in gains:
            gain[rng.integers(arguments.items, size=(some, arguments.items))].mean(1)

    def loop() -> None:
        values = gains[0].tolist()
        for _ in range(max(1, some // 10)):
            sum(values[i] for i in rng.integers(arguments.items, size=arguments.items).tolist())

    seconds["accuracy, gather"] = (_timed(gather), arguments.resamples / some)
    seconds["accuracy, loop"] = (_timed(loop), arguments.arms * arguments.resamples / max(1, some // 10))
    least = seconds["accuracy, closed form"][0]
    print("| resamples of | seconds | ratio |\n| :--- | ---: | ---: |")
    for name, (measured, scale) in seconds.items():
        print(f"| {name} | {measured * scale:.2f} | {measured * scale / least:.0f} |")


def _run(rng: np.random.Generator, labels: np.ndarray, hard: np.ndarray) -> np.ndarray:
    """Probabilities (SEEDS, N, CLASSES) that are right on about 8 images in 10, mostly the same ones."""
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

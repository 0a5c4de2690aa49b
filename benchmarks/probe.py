"""The features of a frozen backbone read from the cache against computed, and a probe's whole fit from either.

    python benchmarks/probe.py

For each of `--nets`, at 224 px from random weights (speed does not depend on them): `--images` images of noise, half of
them brighter. The ways take turns, `--rounds` times; the ratios are those of the medians. A fit has 5 folds, and the
values of C that its cross-validation tries. Figures: docs/speed.md.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from _shared import new_run

from touchstone.config.schema.probe import Probe
from touchstone.training.classifier import build_classifier
from touchstone.training.probe import features_of, fit_probe
from touchstone.training.setup import TrainingRun

SIDE = 224


def seconds(work: Callable[[], object]) -> float:
    """Seconds of a call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def one_round(net: str, images: np.ndarray, *, threads: int) -> list[float]:
    """Seconds of the features with an empty and a full cache, and of the fit with an empty and a full one."""
    settings = {"net": net, "input_size": SIDE, "weights": "random", "trainable": ("head",), "epochs": 1}
    settings |= {"probe": Probe(), "select": "last", "num_threads": threads}
    labels = ["a", "b"] * (len(images) // 2)

    def run_in(folder: str) -> TrainingRun:
        return new_run(images, labels, settings, features=Path(folder))

    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        run, other = run_in(first), run_in(second)
        classifier = build_classifier(run, 0)
        found = [seconds(lambda: features_of(run, classifier)) for _ in range(2)]
        return found + [seconds(lambda: fit_probe(other, seed=0)) for _ in range(2)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=["mobilenet_v2", "efficientnet_b0", "resnet"])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    images = np.random.default_rng(0).integers(0, 200, (arguments.images, SIDE, SIDE, 3), np.uint8)
    images[1::2] += 40
    rows = []
    for net in arguments.nets:
        rounds = [one_round(net, images, threads=arguments.threads) for _ in range(arguments.rounds)]
        computed, cached, whole, again = (median(column) for column in zip(*rounds, strict=True))
        cells = [f"{computed:.2f}", f"{cached:.3f}", f"{computed / cached:.0f}", f"{whole:.2f}", f"{again:.2f}"]
        rows.append(f"| {net} | {' | '.join([*cells, f'{whole / again:.1f}'])} |")
    print("\n| backbone | features computed, s | read, s | ratio | probe, empty cache, s | full cache, s | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|", *rows, sep="\n")


if __name__ == "__main__":
    main()

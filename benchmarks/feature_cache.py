"""The frozen phase of transfer learning: features computed once against recomputed in every step, side by side.

    python benchmarks/feature_cache.py

MobileNetV2 at 224 px from random weights (speed does not depend on them), a two-layer head, 400 images of noise, batch
32, `--epochs` 30 as in the transfer study. The cached way starts with an empty cache each time: computing the features
is in its seconds. Each way runs for one epoch first, untimed, as the libraries are imported then. The ways take turns,
`--rounds` times; the ratio is that of the medians. Figures: docs/speed.md.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _shared import new_run

from touchstone.training.loop import train_seed


def seconds(cached: bool, *, images: np.ndarray, epochs: int, threads: int) -> float:
    """Seconds for the whole phase, including building the net."""
    settings = {"net": "mobilenet_v2", "input_size": 224, "options": {"hidden": 512}, "weights": "random"}
    settings |= {"trainable": ("head",), "epochs": epochs, "batch_size": 32, "num_threads": threads, "select": "last"}
    settings["feature_cache"] = cached
    labels = ["a", "b"] * (len(images) // 2)
    with tempfile.TemporaryDirectory() as folder:
        run = new_run(images, labels, settings, features=Path(folder) / "features")
        began = time.perf_counter()
        train_seed(run, seed=0, state_file=Path(folder) / "state.pt")
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    images = np.random.default_rng(0).integers(0, 256, (arguments.images, 224, 224, 3), np.uint8)
    found: dict[bool, list[float]] = {True: [], False: []}
    for cached in found:
        seconds(cached, images=images, epochs=1, threads=arguments.threads)
    for _ in range(arguments.rounds):
        for cached, times in found.items():
            times.append(seconds(cached, images=images, epochs=arguments.epochs, threads=arguments.threads))
    print("\n| frozen phase | seconds (median) | rounds |\n|---|---:|---|")
    for cached, times in found.items():
        rounds = ", ".join(f"{value:.1f}" for value in times)
        print(f"| {'cached' if cached else 'recomputed'} | {statistics.median(times):.1f} | {rounds} |")
    print(f"\nratio {statistics.median(found[False]) / statistics.median(found[True]):.1f}")


if __name__ == "__main__":
    main()

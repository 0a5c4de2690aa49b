"""A step of training: a loop written by hand, the engine torch and the engine lightning, side by side in one run.

    python benchmarks/loops.py                         # images of noise: speed does not hang on them

LeNet at 32 px, batch 64, Adam, no augmentation; all three take the very same batches.
  by hand     forward, cross-entropy, zero_grad, backward, step; nothing seeded, watched, kept or saved
  torch       touchstone's plain loop: besides seeds of each step, learning-rate schedule, watch for divergence, resume
  lightning   the same in Lightning's Trainer
Every measurement is a process of its own; its first 50 steps are not counted. The ways take turns, `--rounds` times;
medians count. Figures: docs/speed.md.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH, SKIPPED = 64, 50
WAYS = ("by hand", "torch", "lightning")


def job(engine: str, *, steps: int, threads: int):
    """The task: 10,000 images of 10 classes."""
    import numpy as np
    import pandas as pd

    from touchstone.arms import combine
    from touchstone.imageset import ImageSet
    from touchstone.model_sections import Model
    from touchstone.sections import Arm, Machine
    from touchstone.training.task import task

    labels = [f"class {i % 10}" for i in range(10_000)]
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 32, 32, 3), np.uint8)
    ids = [str(i) for i in range(len(labels))]
    images = ImageSet(pixels, pd.DataFrame({"id": ids, "label": labels, "source_id": ids, "origin": "real"}))
    settings = {"net": "lenet", "input_size": 32, "num_steps": steps, "batch_size": BATCH, "num_threads": threads}
    settings |= {"select": "last", "eval_steps": steps, "collapse_epochs": 0, "engine": engine}
    return task(
        "loops",
        settings=Model.model_validate(settings),
        data=combine(Arm(), train=images, additions=[], name="real"),
        val=ImageSet(pixels[:0], images.table[:0]),
        meta={"classes": sorted(set(labels)), "image_size": 32},
        machine=Machine(accelerator="cpu"),
    )


def by_hand(steps: int, threads: int) -> float:
    """Milliseconds a step of the loop that everyone writes."""
    import torch
    from torch.nn import functional as F

    from touchstone.loaders import to_float
    from touchstone.models import build
    from touchstone.training.seed import stream

    one = job("torch", steps=steps, threads=threads)
    net = build("lenet", num_classes=10, in_channels=3, input_size=32, options={}).to(memory_format=torch.channels_last)
    mean, std = torch.tensor(one.mean)[:, None, None], torch.tensor(one.std)[:, None, None]
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    began = 0.0
    for i, (inputs, labels) in enumerate(stream(one, one.spans[0], one.data, seed=0)):
        if i == SKIPPED:
            began = time.perf_counter()
        loss = F.cross_entropy(net(to_float(inputs, mean, std)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return 1000 * (time.perf_counter() - began) / (steps - SKIPPED)


def by_engine(engine: str, steps: int, threads: int) -> float:
    """Milliseconds a step of one of touchstone's engines."""
    from touchstone.training.seed import train_seed

    moments: dict[int, float] = {}

    def on_step(step: int) -> None:
        if step in (SKIPPED, steps):
            moments[step] = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        one = job(engine, steps=steps, threads=threads)
        train_seed(one, seed=0, state_file=Path(folder) / "state.pt", on_step=on_step)
    return 1000 * (moments[steps] - moments[SKIPPED]) / (steps - SKIPPED)


def measure(way: str, arguments: argparse.Namespace) -> float:
    """One measurement in its own process."""
    command = [sys.executable, __file__, "--steps", str(arguments.steps), "--threads", str(arguments.threads)]
    done = subprocess.run([*command, "--one", way], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", metavar="WAY", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        import torch

        import touchstone  # noqa: F401  # settings of threads, before torch

        torch.set_num_threads(arguments.threads)
        steps, threads = arguments.steps, arguments.threads
        one = by_hand(steps, threads) if arguments.one == "by hand" else by_engine(arguments.one, steps, threads)
        print(f"\n{one}")
        return
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(arguments.rounds):
        for way, values in found.items():
            values.append(measure(way, arguments))
            print(f"{way}: {values[-1]:.2f} ms", file=sys.stderr)
    print("| way | ms a step (median) | rounds | ratio to the loop by hand |\n|---|---:|---|---:|")
    medians = {way: statistics.median(values) for way, values in found.items()}
    for way, values in found.items():
        rounds = ", ".join(f"{value:.2f}" for value in values)
        print(f"| {way} | {medians[way]:.2f} | {rounds} | {medians[way] / medians['by hand']:.3f} |")
    print(f"\nlightning / torch: {medians['lightning'] / medians['torch']:.3f}")


if __name__ == "__main__":
    main()

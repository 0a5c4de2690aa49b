"""A step of training: the engines torch and lightning, each beside a loop written by hand.

    python benchmarks/loops.py                         # images of noise: speed does not depend on them

LeNet at 32 px, batch 64, Adam, no augmentation; all take the very same batches.
  by hand     normalise, forward, cross-entropy, zero_grad, backward, step, with channels_last and the fused Adam;
              nothing seeded, watched, kept or saved
  torch       touchstone's plain loop: besides seeds of each step, learning-rate schedule, watch for divergence, resume
  lightning   the same in Lightning's Trainer
A round is a process of its own in which an engine and the loop by hand take turns, 20 steps each, since a machine that
is shared is quick now and slow then; its ratio is that of their median steps, the first 60 left out. Of `--rounds`
rounds the median ratio counts. Figures: docs/speed.md.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from _shared import new_run, own_process

BATCH, BLOCK, SKIPPED = 64, 20, 60
ENGINES = ("torch", "lightning")


def noise(engine: str, *, steps: int, threads: int):
    """A run on 10,000 images of noise, in 10 classes."""
    import numpy as np

    labels = [f"class {i % 10}" for i in range(10_000)]
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 32, 32, 3), np.uint8)
    settings = {"net": "lenet", "input_size": 32, "num_steps": steps, "batch_size": BATCH, "num_threads": threads}
    settings |= {"select": "last", "eval_steps": steps, "collapse_epochs": 0, "engine": engine}
    return new_run(pixels, labels, settings)


def by_hand(one) -> Iterator[None]:
    """The loop that everyone writes, a step at a time."""
    import torch
    from torch.nn import functional as F

    from touchstone.models.nets import build
    from touchstone.training.phase import training_batches

    net = build("lenet", num_classes=10, in_channels=3, input_size=32, options={}).to(memory_format=torch.channels_last)
    mean, std = torch.tensor(one.mean)[:, None, None], torch.tensor(one.std)[:, None, None]
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    for inputs, labels in training_batches(one, one.phases[0], one.data, seed=0, start=0):
        pixels = inputs.permute(0, 3, 1, 2)  # channels_last
        loss = F.cross_entropy(net((pixels.float() - mean) / std), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield


def side_by_side(engine: str, *, steps: int, threads: int) -> tuple[float, float]:
    """Milliseconds a step: by hand, by the engine."""
    from touchstone.training.loop import train_seed  # before torch, whose threads touchstone sets

    # isort: split
    import torch

    torch.set_num_threads(threads)
    one = noise(engine, steps=steps, threads=threads)
    found: dict[str, list[float]] = {"by hand": [], engine: []}
    hand, last = by_hand(one), time.perf_counter()

    def timed(way: str) -> None:
        nonlocal last
        now = time.perf_counter()
        found[way].append(1000 * (now - last))
        last = now

    def on_step(step: int) -> None:
        nonlocal last
        timed(engine)
        if step % BLOCK == 0:
            for _ in range(BLOCK):
                next(hand)
                timed("by hand")
            last = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        train_seed(one, seed=0, state_file=Path(folder) / "state.pt", on_step=on_step)
    first, second = (statistics.median(times[SKIPPED:]) for times in found.values())
    return first, second


def measure(engine: str, arguments: argparse.Namespace) -> tuple[float, float]:
    """One round in its own process."""
    common = ("--steps", arguments.steps, "--threads", arguments.threads)
    first, second = own_process(*common, "--one", engine)
    return first, second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600, help="of either way, a multiple of 20")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", metavar="ENGINE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print("\n", *side_by_side(arguments.one, steps=arguments.steps, threads=arguments.threads))
        return
    rounds: dict[str, list[tuple[float, float]]] = {engine: [] for engine in ENGINES}
    for _ in range(arguments.rounds):
        for engine, values in rounds.items():
            values.append(measure(engine, arguments))
            print("{}: by hand {:.2f} ms, {:.2f} ms".format(engine, *values[-1]), file=sys.stderr)
    print(
        "| engine | ms a step | by hand, beside it | ratio, median | ratios of the rounds |\n|---|---:|---:|---:|---|"
    )
    ratios = {engine: [second / first for first, second in values] for engine, values in rounds.items()}
    for engine, values in rounds.items():
        hand, own = (statistics.median(each) for each in zip(*values, strict=True))
        each = ", ".join(f"{ratio:.3f}" for ratio in ratios[engine])
        print(f"| {engine} | {own:.2f} | {hand:.2f} | {statistics.median(ratios[engine]):.3f} | {each} |")
    plain, lightning = (statistics.median(ratios[engine]) for engine in ENGINES)
    print(f"\nlightning / torch: {lightning / plain:.3f}")


if __name__ == "__main__":
    main()

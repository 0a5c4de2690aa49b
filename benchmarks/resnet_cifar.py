"""Training throughput of a ResNet18 on CIFAR-10: this pipeline, timm's trainer, a plain loop, side by side in one run.

    pip install timm                                   # not among this project's requirements
    python benchmarks/resnet_cifar.py --data FOLDER    # FOLDER holds cifar-10-batches-py

All train `resnet_cifar` (depth 18) at batch 128 with SGD and momentum, random crops and mirror images, in float32:
  plain       torchvision.datasets.CIFAR10 and its transforms, a shuffling DataLoader, a loop of forward, backward, step
  timm        the parts of timm's training script: create_loader with timm's transforms and collation,
              ClassificationTask, create_optimizer_v2, in channels_last (the script's --channels-last)
  touchstone  touchstone.training
Every measurement is a process of its own; the first 3 steps are not counted. The ways take turns, `--rounds` times;
medians count, of each way's better number of workers, 0 or 2. Figures: docs/speed.md.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from _shared import MEAN, STD, cifar_rate, own_process, torch_threads, tutorial_batches

BATCH, SKIPPED = 128, 3
WAYS = ("plain", "timm", "touchstone")


def net() -> Any:
    from touchstone.models.nets import build

    return build("resnet_cifar", num_classes=10, in_channels=3, input_size=32, options={})


def rate(batches: Iterable[Any], step: Any, num_steps: int) -> float:
    """Images a second of `step` on `num_steps` batches, the first SKIPPED not counted."""
    began = 0.0
    for i, (x, y) in enumerate(batches):
        if i == SKIPPED:
            began = time.perf_counter()
        step(x, y)
        if i + 1 == num_steps:
            break
    return (num_steps - SKIPPED) * BATCH / (time.perf_counter() - began)


def plain(data: Path, num_steps: int, num_workers: int) -> float:
    """A tutorial's loop."""
    import torch

    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return rate(tutorial_batches(data, BATCH, num_workers), step, num_steps)


def timm(data: Path, num_steps: int, num_workers: int) -> float:
    """The parts of timm's training script."""
    import torch
    from timm.data import create_loader
    from timm.optim import create_optimizer_v2
    from timm.task import ClassificationTask
    from torchvision import datasets

    device = torch.device("cpu")
    loader = create_loader(
        datasets.CIFAR10(str(data), train=True),
        input_size=(3, 32, 32),
        batch_size=BATCH,
        is_training=True,
        scale=(0.64, 1.0),
        color_jitter=0.0,
        mean=MEAN,
        std=STD,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        use_prefetcher=False,
        device=device,
    )
    model = net().to(memory_format=torch.channels_last)
    task = ClassificationTask(model, device=device, verbose=False)
    optimizer = create_optimizer_v2(model, opt="momentum", lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> None:
        result = task(x.contiguous(memory_format=torch.channels_last), y)
        optimizer.zero_grad()
        result["loss"].backward()
        optimizer.step()

    return rate(loader, step, num_steps)


def touchstone(data: Path, num_steps: int, num_workers: int) -> float:
    """This pipeline's training."""
    settings = {"net": "resnet_cifar", "input_size": 32, "num_steps": num_steps, "batch_size": BATCH, "hflip": True}
    settings |= {"crop_padding": 4, "optimizer": "sgd", "lr": 0.1, "eval_steps": num_steps, "select": "last"}
    return cifar_rate(data, settings, num_workers=num_workers, skipped=SKIPPED)


def measure(way: str, workers: int, arguments: argparse.Namespace) -> float:
    """One measurement in its own process; the other ways have torch's own settings for threads."""
    common = ("--data", arguments.data, "--steps", arguments.steps)
    return own_process(*common, "--one", way, workers, environment=torch_threads())[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds cifar-10-batches-py")
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "WORKERS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        way, workers = arguments.one
        print(f"\n{globals()[way](arguments.data, arguments.steps, int(workers))}")
        return
    rates: dict[tuple[str, int], list[float]] = {(way, n): [] for way in WAYS for n in (0, 2)}
    for _ in range(arguments.rounds):
        for (way, workers), found in rates.items():
            found.append(measure(way, workers, arguments))
            print(f"{way} with {workers} workers: {found[-1]:.1f} images/s", file=sys.stderr)
    print("| way | workers | images/s (median) | rounds |\n|---|---:|---:|---|")
    for (way, workers), found in rates.items():
        print(f"| {way} | {workers} | {statistics.median(found):.1f} | {', '.join(f'{r:.1f}' for r in found)} |")
    best = {way: max(statistics.median(rates[way, n]) for n in (0, 2)) for way in WAYS}
    for other in ("plain", "timm"):
        print(f"\ntouchstone / {other}: {best['touchstone'] / best[other]:.2f}")


if __name__ == "__main__":
    main()

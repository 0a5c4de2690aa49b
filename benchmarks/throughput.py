"""Training throughput: this pipeline against the usual way, the same work side by side in one run.

    python benchmarks/throughput.py --data FOLDER      # FOLDER holds cifar-10-batches-py

Both train LeNet on CIFAR-10 at batch 64 with Adam, random crop (padding 4) and mirror image, in Lightning.
  usual       torchvision.datasets.CIFAR10, RandomCrop, RandomHorizontalFlip, ToTensor, Normalize, a shuffling
              DataLoader, pl.Trainer() with its defaults; 0 and 2 workers
  touchstone  touchstone.training: uint8 slices until the batch, channels_last, the lean Trainer; 0 and 2 workers
The first 50 steps of each fit are not counted. The ways take turns, `--rounds` times; the median counts, and the
ratio is that of the better number of workers of each.
"""

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import touchstone  # noqa: F401  sets OMP_WAIT_POLICY before torch is loaded, for both ways

import numpy as np  # isort: skip
import pandas as pd
import pytorch_lightning as pl
import torch
import torchvision
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms

from touchstone.arms import combine
from touchstone.imageset import ImageSet
from touchstone.models import build
from touchstone.params import Arm, Machine, Model
from touchstone.training.run import task, train_seed

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
BATCH, SKIPPED = 64, 50


class Clock(pl.Callback):
    """Images a second from step SKIPPED to the end."""

    rate = 0.0

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == SKIPPED:
            self.began = time.perf_counter()
        self.last = batch_idx

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx > SKIPPED:
            self.rate = (batch_idx + 1 - SKIPPED) * BATCH / (time.perf_counter() - self.began)


class Usual(pl.LightningModule):
    """The LightningModule of a tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.net = build("lenet", num_classes=10, in_channels=3, input_size=32, options={})

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        x, y = batch
        loss = F.cross_entropy(self.net(x), y)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.net.parameters(), lr=1e-3)


def usual(data: Path, steps: int, num_workers: int) -> float:
    """Images a second."""
    steps_of = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    pipeline = transforms.Compose([*steps_of, transforms.Normalize(MEAN, STD)])
    images = torchvision.datasets.CIFAR10(str(data), train=True, transform=pipeline)
    loader = DataLoader(images, batch_size=BATCH, shuffle=True, num_workers=num_workers)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(default_root_dir=folder, max_epochs=1, limit_train_batches=steps, callbacks=[clock])
        trainer.fit(Usual(), loader)
    return clock.rate


def touchstone_way(data: Path, steps: int, num_workers: int) -> float:
    """Images a second."""
    source = torchvision.datasets.CIFAR10(str(data), train=True)
    names = np.array(source.classes)[source.targets]
    table = pd.DataFrame({"id": np.arange(len(names)).astype(str), "label": names, "source_id": "", "origin": "real"})
    train = ImageSet(source.data, table)
    settings = {"net": "lenet", "input_size": 32, "num_steps": steps, "batch_size": BATCH, "crop_padding": 4}
    settings |= {"hflip": True, "eval_steps": steps, "num_threads": torch.get_num_threads()}
    job = task(
        "touchstone",
        settings=Model.model_validate(settings),
        data=combine(Arm(), train=train, additions=[], name="real"),
        val=ImageSet(train.images[:0], table[:0]),
        meta={"classes": sorted(set(names)), "image_size": 32},
        machine=Machine(accelerator="cpu", num_workers=num_workers),
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        train_seed(job, seed=0, state_file=Path(folder) / "state.pt", callbacks=[clock])
    return clock.rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds cifar-10-batches-py")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    ways = {(way.__name__.split("_")[0], n): (way, n) for way in (usual, touchstone_way) for n in (0, 2)}
    rates: dict[tuple[str, int], list[float]] = {key: [] for key in ways}
    for _ in range(arguments.rounds):
        for key, (way, workers) in ways.items():
            rates[key].append(way(arguments.data, arguments.steps, workers))
    medians = {key: statistics.median(values) for key, values in rates.items()}
    print("\n| way | workers | images/s (median) | all rounds |\n|---|---|---|---|")
    for (name, workers), value in medians.items():
        print(f"| {name} | {workers} | {value:,.0f} | {', '.join(f'{v:,.0f}' for v in rates[name, workers])} |")
    best = {name: max(value for (other, _), value in medians.items() if other == name) for name, _ in medians}
    print(f"\nratio, better number of workers of each: {best['touchstone'] / best['usual']:.2f}")


if __name__ == "__main__":
    main()

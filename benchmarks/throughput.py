"""Training throughput: this pipeline against the usual way, the same work side by side in one run.

    python benchmarks/throughput.py --data FOLDER      # FOLDER holds cifar-10-batches-py

Both train LeNet on CIFAR-10 at batch 64 with Adam, random crop (padding 4) and mirror image, in Lightning.
  usual       torchvision.datasets.CIFAR10, RandomCrop, RandomHorizontalFlip, ToTensor, Normalize, a shuffling
              DataLoader with 0 or 2 workers, pl.Trainer() with its defaults
  touchstone  touchstone.training: uint8 slices until the batch, channels_last, fused Adam, the lean Trainer, and
              OpenMP threads that do not spin for long; 0 or 2 workers
Every measurement is a process of its own; the first 50 steps of it are not counted. The ways take turns, `--rounds`
times; medians count, and the ratio is that of the better number of workers of each. Figures: docs/speed.md.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from _shared import cifar_rate, own_process, torch_threads, tutorial_batches

BATCH, SKIPPED = 64, 50


def clock() -> Any:
    """A Lightning callback whose `rate` is images a second from step SKIPPED to the end."""
    import pytorch_lightning as pl

    class Clock(pl.Callback):
        rate = 0.0

        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == SKIPPED:
                self.began = time.perf_counter()

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx > SKIPPED:
                self.rate = (batch_idx + 1 - SKIPPED) * BATCH / (time.perf_counter() - self.began)

    return Clock()


def usual(data: Path, steps: int, num_workers: int) -> float:
    """Images a second of a tutorial's LightningModule and Trainer."""
    import pytorch_lightning as pl
    import torch

    from touchstone.models.nets import build

    class Usual(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = build("lenet", num_classes=10, in_channels=3, input_size=32, options={})

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            x, y = batch
            loss = torch.nn.functional.cross_entropy(self.net(x), y)
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.net.parameters(), lr=1e-3)

    loader = tutorial_batches(data, BATCH, num_workers)
    watch = clock()
    with tempfile.TemporaryDirectory() as folder:
        pl.Trainer(default_root_dir=folder, max_epochs=1, limit_train_batches=steps, callbacks=[watch]).fit(
            Usual(), loader
        )
    return watch.rate


def touchstone(data: Path, steps: int, num_workers: int) -> float:
    """Images a second of this pipeline's training."""
    settings = {"net": "lenet", "input_size": 32, "num_steps": steps, "batch_size": BATCH, "crop_padding": 4}
    settings |= {"hflip": True, "eval_steps": steps}
    return cifar_rate(data, settings, num_workers=num_workers, skipped=SKIPPED)


def measure(way: str, workers: int, arguments: argparse.Namespace) -> float:
    """One measurement in its own process; the usual way has torch's own settings for threads."""
    environment = torch_threads()
    if way == "touchstone":
        environment |= {"OMP_WAIT_POLICY": "PASSIVE"}  # as the Makefile sets it; the package sets the rest
    common = ("--data", arguments.data, "--steps", arguments.steps)
    return own_process(*common, "--one", way, workers, environment=environment)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds cifar-10-batches-py")
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "WORKERS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        way, workers = arguments.one
        print(f"\n{globals()[way](arguments.data, arguments.steps, int(workers))}")
        return
    rates: dict[tuple[str, int], list[float]] = {(way, n): [] for way in ("usual", "touchstone") for n in (0, 2)}
    for _ in range(arguments.rounds):
        for (way, workers), found in rates.items():
            found.append(measure(way, workers, arguments))
    medians = {key: statistics.median(values) for key, values in rates.items()}
    print("| way | workers | images/s (median) | rounds |\n|---|---:|---:|---|")
    for (name, workers), value in medians.items():
        print(f"| {name} | {workers} | {value:,.0f} | {', '.join(f'{v:,.0f}' for v in rates[name, workers])} |")
    best = {name: max(value for (other, _), value in medians.items() if other == name) for name, _ in medians}
    print(f"\nratio, better number of workers of each: {best['touchstone'] / best['usual']:.2f}")


if __name__ == "__main__":
    main()

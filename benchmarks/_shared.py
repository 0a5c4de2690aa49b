"""Code that several benchmarks share. Imports are inside functions: some processes must not import touchstone."""

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of CIFAR-10

if TYPE_CHECKING:
    import numpy as np

    from touchstone.data.imageset import ImageSet
    from touchstone.training.setup import TrainingRun


def own_process(*arguments: object, environment: dict[str, str] | None = None) -> list[float]:
    """Run the benchmark again with these arguments, in a process of its own; the numbers in the last line it prints."""
    command = [sys.executable, sys.argv[0], *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return [float(word) for word in done.stdout.splitlines()[-1].split()]


class Cost(NamedTuple):
    """The cost of some work: peaks of memory are those of its process."""

    seconds: float
    cpu_seconds: float
    anonymous_mib: float
    resident_mib: float


def cost(work: Callable[[], object]) -> Cost:
    """Do the work and return what it took. Anonymous memory is sampled every 20 ms, on Linux only."""
    status, peak, ended = Path("/proc/self/status"), [0.0], threading.Event()

    def sample() -> None:
        while status.exists() and not ended.wait(0.02):
            now = next(line for line in status.read_text().splitlines() if line.startswith("RssAnon"))
            peak[0] = max(peak[0], int(now.split()[1]) / 1024)

    sampler = threading.Thread(target=sample)
    sampler.start()
    began, cpu_began = time.perf_counter(), time.process_time()
    work()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    ended.set()
    sampler.join()
    return Cost(seconds, cpu_seconds, peak[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def torch_threads() -> dict[str, str]:
    """The environment without settings of OpenMP: torch's own apply."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_", "KMP_"))}


def new_run(pixels: "np.ndarray", labels: list[str], settings: dict[str, Any], **more: Any) -> "TrainingRun":
    """A run on these images, uint8 (N, H, W, C), without validation images. more: see `run_on`."""
    import pandas as pd

    from touchstone.data.imageset import ImageSet

    ids = [str(i) for i in range(len(pixels))]
    images = ImageSet(pixels, pd.DataFrame({"id": ids, "label": labels, "source_id": ids, "origin": "real"}))
    return run_on(images, settings, image_size=pixels.shape[1], **more)


def run_on(
    images: "ImageSet",
    settings: dict[str, Any],
    *,
    image_size: int,
    num_workers: int = 0,
    features: Any = None,
    accelerator: str = "cpu",
    resident: bool = False,
) -> "TrainingRun":
    """A run on these images, without validation images."""
    from touchstone.config.load import resolve_model
    from touchstone.config.schema.data import Arm
    from touchstone.config.schema.machine import Machine
    from touchstone.data.training_set import combine
    from touchstone.training.setup import set_up

    return set_up(
        "benchmark",
        settings=resolve_model(settings),
        data=combine(Arm(), train=images, name="real"),
        val=images.take([]),
        meta={"classes": sorted(set(images.table["label"])), "image_size": image_size},
        machine=Machine(accelerator=accelerator, num_workers=num_workers, resident=resident),
        features=features,
    )


def tutorial_batches(data: Path, batch_size: int, num_workers: int) -> Any:
    """CIFAR-10 as tutorials load it: torchvision's data set and transforms, a shuffling DataLoader."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    augment = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    pipeline = transforms.Compose([*augment, transforms.Normalize(MEAN, STD)])
    images = datasets.CIFAR10(str(data), train=True, transform=pipeline)
    return DataLoader(images, batch_size=batch_size, shuffle=True, num_workers=num_workers)


def cifar_rate(data: Path, settings: dict[str, Any], *, num_workers: int, skipped: int) -> float:
    """Images a second of this pipeline's training on CIFAR-10, the first `skipped` steps not counted."""
    from touchstone.training.loop import train_seed  # before torch, whose threads touchstone sets

    # isort: split
    import torch
    import torchvision

    source = torchvision.datasets.CIFAR10(str(data), train=True)
    labels = [source.classes[k] for k in source.targets]
    settings = settings | {"num_threads": torch.get_num_threads()}
    run = new_run(source.data, labels, settings, num_workers=num_workers)
    num_steps = settings["num_steps"]
    moments: dict[int, float] = {}

    def on_step(step: int) -> None:
        if step in (skipped, num_steps):
            moments[step] = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        train_seed(run, seed=0, state_file=Path(folder) / "state.pt", on_step=on_step)
    return (num_steps - skipped) * settings["batch_size"] / (moments[num_steps] - moments[skipped])

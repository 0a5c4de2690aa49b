"""DPM-Solver++ at 20 steps against diffusers' own DDPMPipeline at 1,000, with the same network, side by side.

    dvc repro fit@ddpm encoder && python benchmarks/sampling.py [--images 200] [--seeds 3] [--threads 2]

Images per second, and the Fréchet distance in in-domain features to as many real test images of the same classes, for
each seed; the floor is that of real training images. Takes some 15 minutes: 1,000 steps are what they are.

Measured on two quiet cores, two threads; the default's network (268,017 parameters, 16 px, T 1,000), 200 images a seed:

| way | images/s (median) | Fréchet distance, mean ± sd over seeds |
|---|---:|---:|
| DDPMPipeline, 1,000 steps | 1.76 | 0.933 ± 0.208 |
| dpmsolver, 20 steps | 89.91 | 1.056 ± 0.210 |
| real training images | – | 0.654 ± 0.163 |

Ratio of images per second, by seed: 37.9, 51.0, 57.6. With other noise the distance of dpmsolver was 0.856 ± 0.174.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from diffusers import DDPMPipeline, UNet2DModel

from touchstone.audit.features import FeatureExtractor, Features
from touchstone.audit.quality import frechet_distance, matched
from touchstone.data.imageset import ImageSet, load
from touchstone.data.replicates import of_replicate
from touchstone.generators.ddpm.config import DdpmSample
from touchstone.generators.ddpm.net import Ddpm
from touchstone.generators.files import load_generator
from touchstone.models.runs import load_nets, load_run_metadata
from touchstone.seeds import generator as draws

DATA = Path("data")
BLOCK = 100  # images at a time, both ways


class Told(UNet2DModel):
    """The network as DDPMPipeline calls it, without classes: they are told beforehand."""

    labels: torch.Tensor

    def forward(self, sample, timestep, **_):
        return super().forward(sample, timestep, class_labels=self.labels)


def pipeline(module: Ddpm, labels: torch.Tensor, seed: int) -> torch.Tensor:
    """uint8 (B, H, W, C), by diffusers' own pipeline with every step of the schedule."""
    net = Told.from_config(module.averaged.module.config)
    net.load_state_dict(module.averaged.module.state_dict())
    net.labels = labels
    pipe = DDPMPipeline(net.eval().to(memory_format=torch.channels_last), module.schedule)
    pipe.set_progress_bar_config(disable=True)
    out = pipe(
        batch_size=len(labels),
        generator=torch.Generator().manual_seed(seed),
        num_inference_steps=module.schedule.config.num_train_timesteps,
        output_type="np",
    ).images
    return torch.from_numpy(np.round(out * 255).astype(np.uint8))


def solver(module: Ddpm, labels: torch.Tensor, seed: int) -> torch.Tensor:
    """uint8 (B, H, W, C), by DPM-Solver++ in 20 steps."""
    streams = [draws(seed, "bench", i) for i in range(len(labels))]
    with torch.no_grad():
        return module.sample(labels, streams, DdpmSample(per_class=1, num_inference_steps=20))


def run(way, module: Ddpm, labels: torch.Tensor, seed: int) -> tuple[np.ndarray, float]:
    began = time.perf_counter()
    parts = [way(module, block, 1000 * seed + i) for i, block in enumerate(labels.split(BLOCK))]
    return torch.cat(parts).numpy(), len(labels) / (time.perf_counter() - began)


def distance(made: Features, test: Features, seed: int) -> float:
    ours, real = matched(made.labels, test.labels, rng=draws(seed, "sampling"))
    return frechet_distance(made.values[ours].astype(np.float64), test.values[real].astype(np.float64))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    metadata, _, module = load_generator(DATA / "generators/ddpm/0")
    assert isinstance(module, Ddpm)
    module.eval()
    encoder = load_run_metadata(DATA / "encoder")
    meta = {"classes": encoder.classes, "multi_label": encoder.multi_label}
    extractor = FeatureExtractor(load_nets(DATA / "encoder", encoder)[0], view=encoder.view, meta=meta)
    train = extractor.calibrate(of_replicate(load(DATA / "prepared/train"), 0))
    test = extractor.extract(load(DATA / "prepared/test"))
    labels = torch.arange(arguments.images) % len(metadata.classes)
    table = pd.DataFrame({"id": labels.numpy().astype(str), "label": [metadata.classes[c] for c in labels]})
    steps = metadata.fit["num_timesteps"]
    ways = {f"DDPMPipeline, {steps:,} steps": pipeline, "dpmsolver, 20 steps": solver}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    distances: dict[str, list[float]] = {name: [] for name in ways}
    for seed in range(arguments.seeds):
        for name, way in ways.items():
            pixels, rate = run(way, module, labels, seed)
            rates[name].append(rate)
            distances[name].append(distance(extractor.extract(ImageSet(pixels, table)), test, seed))
            print(f"seed {seed}: {name}: {rate:.2f} images/s, distance {distances[name][-1]:.3f}", flush=True)
    floor = [distance(train, test, seed) for seed in range(arguments.seeds)]
    print("\n| way | images/s | Fréchet distance, mean ± sd over seeds |\n|---|---:|---:|")
    for name in ways:
        spread = f"{np.mean(distances[name]):.3f} ± {np.std(distances[name], ddof=1):.3f}"
        print(f"| {name} | {np.median(rates[name]):.2f} | {spread} |")
    print(f"| real training images | – | {np.mean(floor):.3f} ± {np.std(floor, ddof=1):.3f} |")
    slow, fast = (np.array(rates[name]) for name in ways)
    print(f"\nRatio of images per second, by seed: {', '.join(f'{r:.1f}' for r in fast / slow)}")


if __name__ == "__main__":
    main()

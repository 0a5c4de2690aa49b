"""EDM's preconditioning and the samplers of the kind ddpm, at equal steps of fitting and equal evaluations of the net.

    dvc repro encoder settings
    python benchmarks/edm.py [--predictions epsilon v edm] [--steps 280] [--seeds 3] [--images 600]
        [--evaluations 19] [--weights FILE]

Each prediction is fitted with the settings of params.yaml's `ddpm` for as many steps, and each sampler then makes the
same classes from the same noise. The Fréchet distance to as many real test images of the same classes is taken in the
features of the audit's encoder and, with --weights (torchvision's MobileNetV2 as .safetensors), in those of ImageNet;
the floor is that of real training images. Means ± standard deviations are over the seeds of fit and noise.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from touchstone.audit.features import FeatureExtractor, Features
from touchstone.audit.quality import frechet_distance, matched
from touchstone.config.schema.data import Arm
from touchstone.config.schema.generator import part_of
from touchstone.config.schema.machine import Machine
from touchstone.data.imageset import ImageSet, load
from touchstone.data.replicates import of_replicate
from touchstone.data.training_set import combine
from touchstone.generators import build
from touchstone.generators.ddpm.config import DdpmFit, DdpmSample
from touchstone.generators.ddpm.net import Ddpm
from touchstone.generators.fit import fit
from touchstone.models.nets import build as build_net
from touchstone.models.pretrained import read_tensors
from touchstone.models.runs import load_nets, load_run_metadata
from touchstone.seeds import derive
from touchstone.seeds import generator as draws

DATA = Path("data")
BLOCK = 100  # images at a time
IMAGENET_PX = 96


class Imagenet:
    """ImageNet's MobileNetV2 in the place of the audit's extractor: pooled features of 1,280 numbers."""

    def __init__(self, weights: Path) -> None:
        options = {"num_classes": 1000, "in_channels": 3, "input_size": IMAGENET_PX, "options": {}}
        self.net = build_net("mobilenet_v2", **options).eval()
        tensors = read_tensors(weights)
        own = self.net.state_dict()
        self.net.load_state_dict(own | {name: tensors[name] for name in own if name.startswith("features.")})

    def values(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (N, H, W, C) -> float64 (N, 1280)."""
        mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        out = []
        for block in np.array_split(pixels, max(1, len(pixels) // BLOCK)):
            x = torch.from_numpy(block).permute(0, 3, 1, 2).float() / 255
            x = torch.nn.functional.interpolate(x.expand(-1, 3, -1, -1), (IMAGENET_PX, IMAGENET_PX), mode="bilinear")
            with torch.no_grad():
                out.append(self.net.features((x - mean) / std).mean((2, 3)).double())
        return torch.cat(out).numpy()


def distances(made: Features, test: Features, imagenet: Imagenet | None, seed: int) -> list[float]:
    """The Fréchet distance in each space, over as many images of each class."""
    ours, real = matched(made.labels, test.labels, rng=draws(seed, "edm"))
    found = [frechet_distance(made.values[ours].astype(np.float64), test.values[real].astype(np.float64))]
    if imagenet:
        found.append(frechet_distance(imagenet.values(made.images[ours]), imagenet.values(test.images[real])))
    return found


def fitted(values: dict, train: ImageSet, meta: dict, scratch: Path, *, num_threads: int) -> tuple[Ddpm, float]:
    """A generator and the seconds of its fit."""
    settings = part_of("ddpm", "fit", values)
    shape = {"channels": meta["channels"], "image_size": meta["image_size"]}
    torch.set_num_threads(num_threads)
    torch.manual_seed(derive(settings.seed, "init"))
    module = build("ddpm", settings, num_classes=len(meta["classes"]), **shape)
    scratch.unlink(missing_ok=True)
    began = time.perf_counter()
    machine = Machine(accelerator="auto", save_seconds=1e9)
    data = combine(Arm(), train=train, name="edm")
    fit(module, settings=settings, data=data, meta=meta, machine=machine, state_file=scratch, title=settings.prediction)
    seconds = time.perf_counter() - began
    assert isinstance(module, Ddpm)
    return module.eval(), seconds


def sampled(module: Ddpm, labels: torch.Tensor, settings: DdpmSample, seed: int) -> tuple[np.ndarray, float]:
    """Images uint8 (N, H, W, C) and the seconds that they took."""
    began, parts = time.perf_counter(), []
    for start in range(0, len(labels), BLOCK):
        block = labels[start : start + BLOCK]
        streams = [draws(seed, "edm", start + i) for i in range(len(block))]
        with torch.no_grad():
            parts.append(module.sample(block, streams, settings))
    return torch.cat(parts).numpy(), time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=280)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--evaluations", type=int, default=19)
    parser.add_argument("--predictions", nargs="+", default=["epsilon", "v", "edm"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weights", type=Path)
    arguments = parser.parse_args()
    meta = json.loads((DATA / "prepared/meta.json").read_text())
    own = json.loads((DATA / "settings/generators/ddpm.fit.json").read_text())["settings"]["fit"]
    encoder = load_run_metadata(DATA / "encoder")
    extractor = FeatureExtractor(
        load_nets(DATA / "encoder", encoder)[0], view=encoder.view, meta={"classes": encoder.classes}
    )
    train = of_replicate(load(DATA / "prepared/train"), 0)
    real, test = extractor.calibrate(train), extractor.extract(load(DATA / "prepared/test"))
    imagenet = Imagenet(arguments.weights) if arguments.weights else None
    labels = torch.arange(arguments.images) % len(meta["classes"])
    table = pd.DataFrame({"id": labels.numpy().astype(str), "label": [meta["classes"][c] for c in labels]})
    n = arguments.evaluations
    samplers = {f"dpmsolver, {n} steps": ("dpmsolver", n), f"heun, {(n + 1) // 2} steps": ("heun", (n + 1) // 2)}
    found: dict[tuple[str, str], list[list[float]]] = {}
    budget = {"num_steps": arguments.steps, "epochs": 0, "grid_steps": 0, "min_diversity": 0.0, "max_diversity": 99.0}
    free = DdpmFit.model_fields["min_snr_gamma"].default
    for seed in range(arguments.seeds):
        for prediction in arguments.predictions:
            gamma = {"min_snr_gamma": free if prediction == "edm" else own["min_snr_gamma"]}
            values = own | budget | gamma | {"prediction": prediction, "seed": seed}
            scratch = Path(".touchstone/edm.pt")
            module, seconds = fitted(values, train, meta, scratch, num_threads=arguments.threads)
            for name, (sampler, steps) in samplers.items():
                settings = DdpmSample(per_class=1, sampler=sampler, num_inference_steps=steps)
                pixels, took = sampled(module, labels, settings, seed)
                figures = distances(extractor.extract(ImageSet(pixels, table)), test, imagenet, seed)
                found.setdefault((prediction, name), []).append([seconds, took, *figures])
                print(f"seed {seed}: {prediction}, {name}: {figures}", flush=True)
            scratch.unlink(missing_ok=True)
    spaces = ["Fréchet distance, audit", *(["Fréchet distance, ImageNet"] if imagenet else [])]
    print("\n| prediction | sampler | fit, s | sampling, s | " + " | ".join(spaces) + " |")
    print("|---|---|---:|---:|" + "---:|" * len(spaces))
    for (prediction, name), rows in found.items():
        mean, std = np.mean(rows, 0), np.std(rows, 0, ddof=1)
        cells = [f"{m:.2f} ± {s:.2f}" for m, s in zip(mean[2:], std[2:], strict=True)]
        print(f"| {prediction} | {name} | {mean[0]:.0f} | {mean[1]:.1f} | " + " | ".join(cells) + " |")
    floor = np.array([distances(real, test, imagenet, seed) for seed in range(arguments.seeds)])
    cells = [f"{m:.2f} ± {s:.2f}" for m, s in zip(floor.mean(0), floor.std(0, ddof=1), strict=True)]
    print("| real training images | – | – | – | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

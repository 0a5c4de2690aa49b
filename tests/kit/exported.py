"""A project with runs of random nets and their predictions, as the stages leave them, to export."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from kit.params import load
from touchstone.config.settings import Settings
from touchstone.data import imageset
from touchstone.data.imageset import ImageSet
from touchstone.data.labels import encode
from touchstone.data.ops.resize import resize
from touchstone.evaluation.ensembles import combine
from touchstone.evaluation.thresholds import choose
from touchstone.models import nets
from touchstone.models.predict import batches, logits, probabilities
from touchstone.models.runs import Predictor, RunMetadata, load_nets, save_run

SIZE, CLASSES, COUNTS = 20, ["ant", "bee", "cow"], {"train": 24, "val": 18, "test": 40}
CHANGES = (
    f"data.image_size={SIZE}",
    "data.channels=3",
    "transforms={repeat: {}}",
    "generators={}",
    "arms={real: {add: []}}",
    "models={lenet: {input_size: 20}, lenet_bn: {input_size: 16}}",
    "compare.num_resamples=100",
    "explain.runs=[lenet-real]",
    "audit.encoder={net: lenet, input_size: 16}",
)
RULES = {"vote": "majority", "mean": "mean", "weighted": "weighted"}
MEMBERS = "members: [lenet-real, lenet_bn-real], prefer: lenet_bn-real"
ENSEMBLES = "ensembles={" + ", ".join(f"{name}: {{rule: {rule}, {MEMBERS}}}" for name, rule in RULES.items()) + "}"
WEIGHTS = {"lenet-real": 0.25, "lenet_bn-real": 0.75}


@dataclass(frozen=True)
class House:
    """A project folder with its settings."""

    root: Path
    settings: Settings

    @property
    def data(self) -> Path:
        return self.root / "data"


def house(
    root: Path, *, multi_label: bool = False, mode: str = "squash", crop_px: int = 0, flips: bool = False
) -> House:
    """Lay out a project whose nets have not learned anything but are sure of what they say."""
    changes = [*CHANGES, ENSEMBLES, f"data.resize={mode}"]
    settings = load(root, *changes, *(["multi_label={difficult: mark, without_label: keep}"] if multi_label else []))
    meta = {"classes": CLASSES, "channels": 3, "image_size": SIZE, "resize": mode, "max_pixels": 10**6}
    meta |= {"multi_label": True} if multi_label else {}
    data = root / "data"
    sets = {split: _images(split, mode, multi_label) for split in COUNTS}
    for split, images in sets.items():
        (data / "prepared" / split).mkdir(parents=True)
        imageset.write(data / "prepared" / split, images)
    (data / "prepared/meta.json").write_text(json.dumps(meta))
    for seed, (name, size_px) in enumerate((("lenet", 20), ("lenet_bn", 16))):
        _run(data, name, size_px if not crop_px else 16, meta, sets, crop_px=crop_px, flips=flips, seed=seed)
    _ensembles(data, settings, encode(sets["val"].table, meta))
    return House(root, settings)


def _images(split: str, mode: str, multi_label: bool) -> ImageSet:
    """Smooth random images, a third of them of each class."""
    count, rng = COUNTS[split], np.random.default_rng(len(split))
    shapes = [(26, 40) if i % 2 else (60, 30) for i in range(count)]
    images = [
        np.kron(rng.integers(0, 256, (2, 2, 3)), np.ones((h // 2, w // 2, 1))).astype(np.uint8) for h, w in shapes
    ]
    made = [resize(image, size_px=SIZE, mode=mode) for image in images]
    pixels = np.zeros((count, *np.max([one.shape[:2] for one in made], 0), 3), np.uint8)
    for row, one in zip(pixels, made, strict=True):
        row[: one.shape[0], : one.shape[1]] = one
    ids = [f"{split}{i}" for i in range(count)]
    labels = [CLASSES[i % 3] if not multi_label or i % 4 else "|".join(CLASSES[:2]) for i in range(count)]
    table = pd.DataFrame({"id": ids, "label": labels, "source_id": ids, "origin": "real"})
    if mode == "shortest_edge":
        table["height"], table["width"] = ([str(one.shape[axis]) for one in made] for axis in (0, 1))
    return ImageSet(pixels, table)


def _run(
    data: Path,
    net: str,
    size_px: int,
    meta: dict[str, Any],
    sets: dict[str, ImageSet],
    *,
    crop_px: int,
    flips: bool,
    seed: int,
) -> None:
    metadata = RunMetadata(
        net=net,
        options={},
        input_size=size_px,
        test_input_size=size_px,
        test_flips=flips,
        test_shift=2 if flips else 0,
        crop_size=crop_px,
        mean=[120.0, 125.0, 130.0],
        std=[60.0, 65.0, 70.0],
        weights={},
        selected_step={},
        diverged={},
        **meta,
    )
    weights = {}
    for replicate in (0, 1):
        torch.manual_seed(10 * seed + replicate)
        module = metadata.untrained()
        head, images = module.get_submodule(nets.head_of(net)), batches(sets["test"], metadata.view)
        with torch.no_grad():
            head.weight.mul_(20)
            head.bias -= logits(Predictor(module, metadata), images).mean(0)  # else one class is all they say
        weights[replicate] = {name: value.contiguous() for name, value in module.state_dict().items()}
    folder, probs = data / f"runs/{net}-real", data / f"probs/{net}-real"
    folder.mkdir(parents=True)
    probs.mkdir(parents=True)
    save_run(folder, metadata, weights)
    saved = RunMetadata(**json.loads((folder / "model.json").read_text()))
    kind: dict[str, Any] = {"num_classes": len(CLASSES), "multi_label": saved.multi_label}
    for split in ("val", "test"):
        loaded = load_nets(folder, saved)
        stack = [probabilities(one, sets[split], view=saved.view, **kind) for one in loaded]
        np.save(probs / f"{split}.npy", np.stack(stack))


def _ensembles(data: Path, settings: Settings, labels: np.ndarray) -> None:
    members = {run: np.load(data / f"probs/{run}/val.npy") for run in WEIGHTS}
    votes = {run: choose(p, labels, rule="f1") for run, p in members.items()} if labels.ndim == 2 else None
    for name, ensemble in settings.ensembles.items():
        folder = data / "ensembles" / name
        folder.mkdir(parents=True)
        weights = WEIGHTS if ensemble.finds_weights else None
        for split in ("val", "test"):
            probs = {run: np.load(data / f"probs/{run}/{split}.npy") for run in WEIGHTS}
            made = combine(ensemble.rule, probs, prefer=ensemble.prefer, thresholds=votes, weights=weights)
            np.save(folder / f"{split}.npy", made)
        if weights:
            (folder / "weights.json").write_text(json.dumps(weights))

"""A trained run on disk: one safetensors file per seed, and `model.json`, from which its nets are rebuilt.

Weights carry no metadata, so equal weights are equal bytes.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from touchstone.config.schema.model import Model, Option
from touchstone.data.batches import View, to_float
from touchstone.data.ops import crops
from touchstone.errors import TouchstoneError
from touchstone.models.nets import build
from touchstone.models.predict import forward_tta


@dataclass(frozen=True)
class RunMetadata:
    """The facts from which a run's nets are rebuilt and fed images.

    Fields with a default are written to model.json only where they differ from it.
    """

    net: str
    options: dict[str, Option]
    classes: list[str]
    channels: int
    input_size: int
    """Side in px that the net is built for and was trained at."""
    test_input_size: int
    """Side in px at which it predicts."""
    image_size: int
    """Side of a prepared image in px."""
    resize: str
    max_pixels: int
    mean: list[float]
    """Per channel, in grey levels (0 to 255), of the first replicate's training images."""
    std: list[float]
    """Per channel, in grey levels."""
    test_flips: bool
    """Whether predictions are the mean over an image and its mirror image."""
    weights: dict[str, str]
    """Seed -> sha256 of its file of weights."""
    selected_step: dict[str, int]
    """Seed -> the step whose weights were kept."""
    diverged: dict[str, str]
    """Seed -> why and when its training diverged."""
    multi_label: bool = False
    """Whether an image may have several classes."""
    crop_size: int = 0
    """Side in px of five crops of the prepared image; 0 shows its centre."""
    crop_share: float = 1.0
    """Share of the square's side that the net sees."""
    interpolation: str = "area"
    """The filter that scales the square to the net's input."""
    test_crops: int = 1
    """Number of squares per scale over which predictions are averaged."""
    test_scales: Sequence[float] = (1.0,)
    """Their sides as shares of image_size."""
    normalisations: dict[str, list[list[float]]] = field(default_factory=dict)
    """Seed -> mean and std, where replicates have training images of their own."""
    test_shift: int = 0
    """Px of the net's input by which images are moved in prediction, see `forward_tta`."""
    bits: int = 8
    """Of a pixel."""
    white: int = 0
    """The value of white in files of 16 bits; 0 for the largest."""

    @classmethod
    def of(cls, model: Model, *, meta: dict[str, Any], **facts: Any) -> "RunMetadata":
        """Return the metadata of a run without the hashes of its weights.

        meta: the content of meta.json. facts: mean, std, normalisations, selected_step and diverged.
        """
        return cls(
            net=model.net,
            options=model.options,
            input_size=model.input_size,
            test_input_size=model.test_px,
            test_flips=model.test_flips,
            test_shift=model.test_shift,
            weights={},
            crop_size=model.crop_px,
            crop_share=model.crop_share,
            interpolation=model.interpolation,
            test_crops=model.test_crops,
            test_scales=model.test_scales,
            **facts,
            **meta,
        )

    @property
    def view(self) -> View:
        return View(
            size_px=self.image_size,
            input_px=self.test_input_size,
            crop_px=self.crop_size,
            crop_share=self.crop_share,
            interpolation=self.interpolation,
            test_crops=self.test_crops,
            test_scales=tuple(self.test_scales),
        )

    def untrained(self) -> nn.Module:
        """Build the run's net, (B, channels, S, S) -> logits (B, classes), with weights from torch's generator."""
        return build(
            self.net,
            num_classes=len(self.classes),
            in_channels=self.channels,
            input_size=self.input_size,
            options=self.options,
        )


class Predictor(nn.Module):
    """One seed's net behind its normalisation: pixels (B, S, S, C) or (B, V, S, S, C) -> logits (B, classes)."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, net: nn.Module, metadata: RunMetadata, *, seed: str = "") -> None:
        super().__init__()
        self.net, self.view = net.to(memory_format=torch.channels_last), metadata.view
        self.test_flips, self.test_shift = metadata.test_flips, metadata.test_shift
        self.multi_label = metadata.multi_label
        mean, std = metadata.normalisations.get(seed, [metadata.mean, metadata.std])
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x, num_crops = self.normalised(pixels), crops.count(pixels)
        how: Any = {"mean": self.view.cuts_windows, "multi_label": self.multi_label}
        return forward_tta(self.net, x, num_crops=num_crops, flips=self.test_flips, shift=self.test_shift, **how)

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the net's input, float32 (B, C, S, S) or (B * V, C, S, S), on its device."""
        return to_float(pixels.to(self.mean.device), self.mean, self.std)


def save_run(folder: Path, metadata: RunMetadata, weights: dict[int, dict[str, torch.Tensor]]) -> None:
    """Write a run into the existing `folder`, which fills in `metadata.weights`."""
    hashes = {}
    for seed, tensors in weights.items():
        file = folder / f"seed-{seed}.safetensors"
        safetensors.torch.save_file(tensors, file)
        hashes[str(seed)] = hashlib.sha256(file.read_bytes()).hexdigest()
    defaults = {one.name: one.default for one in fields(metadata)} | {"normalisations": {}}
    written = {name: value for name, value in vars(metadata).items() if value != defaults[name]}
    text = json.dumps(written | {"weights": hashes}, indent=2, ensure_ascii=False)
    (folder / "model.json").write_text(text + "\n", encoding="utf-8")


def load_run_metadata(folder: Path) -> RunMetadata:
    """Read a run's model.json. Raises TouchstoneError where it is missing or cannot be read."""
    try:
        return RunMetadata(**json.loads((folder / "model.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise TouchstoneError(f"{folder}: no readable run ({error}); run `dvc repro` or `dvc pull`") from error


def load_nets(folder: Path, metadata: RunMetadata, *, device: str = "cpu") -> list[Predictor]:
    """Load the nets of all seeds, in the metadata's order. Raises TouchstoneError on damaged or missing weights."""
    return [_load_net(folder, seed, sha256, metadata).to(device) for seed, sha256 in metadata.weights.items()]


def load_first(folder: Path, *, device: str = "cpu") -> Predictor:
    """Load the net of a run's first seed. Raises TouchstoneError like `load_nets`."""
    metadata = load_run_metadata(folder)
    first = replace(metadata, weights=dict([*metadata.weights.items()][:1]))
    return load_nets(folder, first, device=device)[0]


def _load_net(folder: Path, seed: str, sha256: str, metadata: RunMetadata) -> Predictor:
    file = folder / f"seed-{seed}.safetensors"
    try:
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise TouchstoneError(f"{file}: damaged (sha256 differs from model.json); run `dvc checkout --force`")
        tensors = safetensors.torch.load(content)
    except (OSError, SafetensorError) as error:
        raise TouchstoneError(f"{file}: cannot be read ({error}); run `dvc checkout --force`") from error
    net = metadata.untrained()
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise TouchstoneError(
            f"{file}: its weights do not fit src/touchstone/models/nets/{metadata.net}.py, which has changed; "
            "run `dvc repro`"
        ) from error
    return Predictor(net, metadata, seed=seed)

"""A trained run on disk: one safetensors file a seed and `model.json`, which says how to rebuild and feed the net.

Weights carry no metadata, so that equal weights are equal bytes.
"""

import hashlib
import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from touchstone.config.model import Model
from touchstone.data.batches import View, to_float
from touchstone.data.ops import crops
from touchstone.errors import TouchstoneError
from touchstone.models.nets import Option, build
from touchstone.models.predict import answers


@dataclass(frozen=True)
class Card:
    """What is needed to rebuild a run's nets and to feed them images.

    mean, std: of each channel in grey levels (0..255). input_size: px that the net is built for and was trained at;
    test_input_size: px at which it predicts. test_flips: the mean over mirror images, too, is predicted. weights: seed
    -> sha256 of its file. diverged: seed -> how its training ended before its time. multi_label: whether an image may
    have several classes. crop_size: px of the stored image, of five crops that are seen; 0: its centre is. Fields of a
    default value are not written where they have it.
    """

    net: str
    options: dict[str, Option]
    classes: list[str]
    channels: int
    input_size: int
    test_input_size: int
    image_size: int
    resize: str
    max_pixels: int
    mean: list[float]
    std: list[float]
    test_flips: bool
    weights: dict[str, str]
    selected_step: dict[str, int]
    diverged: dict[str, str]
    multi_label: bool = False
    crop_size: int = 0

    @classmethod
    def of(
        cls,
        model: Model,
        *,
        mean: list[float],
        std: list[float],
        selected_step: dict[str, int],
        diverged: dict[str, str],
        meta: dict[str, Any],
    ) -> "Card":
        """The card of a run, its weights still to come; meta: what preparation wrote to meta.json."""
        return cls(
            net=model.net,
            options=model.options,
            input_size=model.input_size,
            test_input_size=model.test_px,
            mean=mean,
            std=std,
            test_flips=model.test_flips,
            weights={},
            selected_step=selected_step,
            diverged=diverged,
            crop_size=model.crop_px,
            **meta,
        )

    @property
    def view(self) -> View:
        return View(size_px=self.image_size, input_px=self.test_input_size, crop_px=self.crop_size)

    def untrained(self) -> nn.Module:
        """A net of the run's kind, (B, channels, S, S) -> logits (B, classes), untrained: torch's generator draws."""
        return build(
            self.net,
            num_classes=len(self.classes),
            in_channels=self.channels,
            input_size=self.input_size,
            options=self.options,
        )


class Predictor(nn.Module):
    """One seed's net behind its normalisation: uint8 (B, S, S, C), or five crops of each -> logits (B, classes)."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, net: nn.Module, card: Card) -> None:
        super().__init__()
        self.net, self.test_flips = net.to(memory_format=torch.channels_last), card.test_flips
        self.multi_label = card.multi_label
        self.register_buffer("mean", torch.tensor(card.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(card.std)[:, None, None])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x, num_crops = to_float(pixels, self.mean, self.std), crops.count(pixels)
        return answers(self.net, x, num_crops=num_crops, flips=self.test_flips, multi_label=self.multi_label)


def save_run(folder: Path, card: Card, weights: dict[int, dict[str, torch.Tensor]]) -> None:
    """Write a run into the existing `folder`; `card.weights` is filled in from the files written."""
    hashes = {}
    for seed, tensors in weights.items():
        file = folder / f"seed-{seed}.safetensors"
        safetensors.torch.save_file(tensors, file)
        hashes[str(seed)] = hashlib.sha256(file.read_bytes()).hexdigest()
    values = {field.name: getattr(card, field.name) for field in fields(card)}
    told = {field.name: values[field.name] for field in fields(card) if values[field.name] != field.default}
    text = json.dumps(told | {"weights": hashes}, indent=2, ensure_ascii=False)
    (folder / "model.json").write_text(text + "\n", encoding="utf-8")


def load_card(folder: Path) -> Card:
    """Raises TouchstoneError where the run is missing or its card cannot be read."""
    try:
        return Card(**json.loads((folder / "model.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise TouchstoneError(f"{folder}: no readable run ({error}); run `dvc repro` or `dvc pull`") from error


def load_nets(folder: Path, card: Card, *, device: str = "cpu") -> list[Predictor]:
    """The nets of all seeds, in the card's order. Raises TouchstoneError on damaged or missing weights."""
    return [
        _load_net(folder / f"seed-{seed}.safetensors", sha256, card).to(device) for seed, sha256 in card.weights.items()
    ]


def load_first(folder: Path, *, device: str = "cpu") -> tuple[Predictor, Card]:
    """The net of a run's first seed, and the run's card. Raises TouchstoneError as `load_nets` does."""
    card = load_card(folder)
    return load_nets(folder, replace(card, weights=dict([*card.weights.items()][:1])), device=device)[0], card


def _load_net(file: Path, sha256: str, card: Card) -> Predictor:
    try:
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise TouchstoneError(f"{file}: damaged (sha256 differs from model.json); run `dvc checkout --force`")
        tensors = safetensors.torch.load(content)
    except (OSError, SafetensorError) as error:
        raise TouchstoneError(f"{file}: cannot be read ({error}); run `dvc checkout --force`") from error
    net = card.untrained()
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise TouchstoneError(
            f"{file}: its weights do not fit src/touchstone/models/nets/{card.net}.py, which has changed; "
            "run `dvc repro`"
        ) from error
    return Predictor(net, card)

"""A fitted generator on disk: weights.safetensors and generator.json, which says how to rebuild it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from touchstone.config.generator import Fit, entry_of
from touchstone.data.sheets import gallery
from touchstone.errors import TouchstoneError
from touchstone.generators import build
from touchstone.generators.base import Generative

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Card:
    """What is needed to rebuild a generator. sha256: of the file of weights."""

    kind: str
    fit: dict[str, Any]
    classes: list[str]
    channels: int
    image_size: int
    sha256: str = ""


def save_generator(folder: Path, card: Card, weights: dict[str, torch.Tensor], *, grids: dict[int, np.ndarray]) -> None:
    """Write weights, card and sheets of samples into the existing `folder`; `card.sha256` is filled in.

    grids: step -> uint8 (classes, images of a class, H, W, C); a row of the sheet is a class.
    """
    safetensors.torch.save_file(weights, folder / WEIGHTS)
    sha256 = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    text = json.dumps(asdict(card) | {"sha256": sha256}, indent=2, ensure_ascii=False)
    (folder / "generator.json").write_text(text + "\n", encoding="utf-8")
    (folder / "grids").mkdir()
    for step, grid in grids.items():
        sheet = gallery(list(grid.reshape(-1, *grid.shape[2:])), columns=grid.shape[1])
        sheet.save(folder / f"grids/step-{step:06d}.png")


def load_generator(folder: Path) -> tuple[Card, Fit, Generative]:
    """The card, the settings it was fitted with, and the generator with its averaged weights.

    Raises TouchstoneError where a file is missing or damaged, or where the weights do not fit the kind's code.
    """
    try:
        card = Card(**json.loads((folder / "generator.json").read_text(encoding="utf-8")))
        content = (folder / WEIGHTS).read_bytes()
        if hashlib.sha256(content).hexdigest() != card.sha256:
            raise TouchstoneError(f"{folder / WEIGHTS}: damaged (sha256 differs); run `dvc checkout --force`")
        weights = safetensors.torch.load(content)
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise TouchstoneError(f"{folder}: no readable generator ({error}); run `dvc repro` or `dvc pull`") from error
    fit: Fit = entry_of(card.kind).model_fields["fit"].annotation.model_validate_json(json.dumps(card.fit))  # type: ignore[union-attr]
    module = build(card.kind, fit, num_classes=len(card.classes), channels=card.channels, image_size=card.image_size)
    try:
        module.load_weights(weights)
    except RuntimeError as error:
        raise TouchstoneError(
            f"{folder}: its weights do not fit src/touchstone/generators/{card.kind}/net.py, which has changed; "
            "run `dvc repro`"
        ) from error
    return card, fit, module

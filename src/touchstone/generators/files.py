"""A fitted generator on disk: weights.safetensors, and generator.json with what is needed to rebuild it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from touchstone.config.schema.generator import Fit, part_of
from touchstone.data.sheets import gallery
from touchstone.errors import TouchstoneError
from touchstone.generators import build
from touchstone.generators.base import Generative

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class GeneratorMetadata:
    """The facts from which a generator is rebuilt."""

    kind: str
    fit: dict[str, Any]
    classes: list[str]
    channels: int
    image_size: int
    sha256: str = ""
    """Hash of the file of weights."""
    bits: int = 8
    """Of a pixel; written only where it is 16."""
    pipeline: dict[str, Any] | None = None
    """The facts of the pretrained pipeline that it starts from, see diffusers/files.py; None without one."""


def save_generator(
    folder: Path, metadata: GeneratorMetadata, weights: dict[str, torch.Tensor], *, grids: dict[int, np.ndarray]
) -> None:
    """Write weights, metadata and sheets of samples into the existing `folder`, which adds `metadata.sha256`.

    grids: step -> pixels (classes, images of a class, H, W, C); each row of a sheet shows a class.
    """
    safetensors.torch.save_file(weights, folder / WEIGHTS)
    sha256 = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    left_out = {"bits": 8, "pipeline": None}
    facts = {name: value for name, value in asdict(metadata).items() if name not in left_out or value != left_out[name]}
    text = json.dumps(facts | {"sha256": sha256}, indent=2, ensure_ascii=False)
    (folder / "generator.json").write_text(text + "\n", encoding="utf-8")
    (folder / "grids").mkdir()
    for step, grid in grids.items():
        sheet = gallery(list(grid.reshape(-1, *grid.shape[2:])), columns=grid.shape[1])
        sheet.save(folder / f"grids/step-{step:06d}.png")


def load_generator(folder: Path, **pretrained: Any) -> tuple[GeneratorMetadata, Fit, Generative]:
    """Load the metadata, the settings of the fit, and the generator with its averaged weights.

    pretrained: the keywords `pipeline` and `name` of `build` for a kind that starts from a pretrained pipeline. Raises
    TouchstoneError where a file is missing or damaged, or where the weights do not fit the kind's code.
    """
    try:
        metadata = GeneratorMetadata(**json.loads((folder / "generator.json").read_text(encoding="utf-8")))
        content = (folder / WEIGHTS).read_bytes()
        if hashlib.sha256(content).hexdigest() != metadata.sha256:
            raise TouchstoneError(f"{folder / WEIGHTS}: damaged (sha256 differs); run `dvc checkout --force`")
        weights = safetensors.torch.load(content)
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise TouchstoneError(f"{folder}: no readable generator ({error}); run `dvc repro` or `dvc pull`") from error
    fit: Fit = part_of(metadata.kind, "fit", metadata.fit)
    shape = {"channels": metadata.channels, "image_size": metadata.image_size, "bits": metadata.bits}
    if pretrained:
        pretrained["classes"] = metadata.classes
    module = build(metadata.kind, fit, num_classes=len(metadata.classes), **shape, **pretrained)
    try:
        module.load_weights(weights)
    except RuntimeError as error:
        raise TouchstoneError(
            f"{folder}: its weights do not fit src/touchstone/generators/{metadata.kind}/net.py, which has changed; "
            "run `dvc repro`"
        ) from error
    return metadata, fit, module

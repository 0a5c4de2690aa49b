"""Small generators, and their fits, for tests."""

from pathlib import Path
from typing import Any

import torch

from kit.images import image_set
from touchstone.config.schema.data import Arm
from touchstone.config.schema.machine import Machine
from touchstone.data.imageset import ImageSet
from touchstone.data.training_set import combine
from touchstone.generators import build
from touchstone.generators.dcgan.config import DcganFit
from touchstone.generators.ddpm.config import DdpmFit
from touchstone.generators.fit import Fitted, fit

FITS: dict[str, Any] = {
    "dcgan": DcganFit(
        num_steps=12, batch_size=6, channels=4, latent=8, min_diversity=0.0, max_diversity=99.0, grid_steps=5
    ),
    "ddpm": DdpmFit(
        num_steps=12,
        batch_size=6,
        channels=8,
        multipliers=(1, 2),
        num_res_blocks=1,
        num_timesteps=20,
        beta_schedule="cosine",
        label_drop=0.2,
        dropout=0.1,
        warmup_steps=3,
        min_diversity=0.0,
        max_diversity=99.0,
        grid_steps=5,
        hflip=True,
    ),
}


IMAGES = image_set(["a", "b"] * 10, side=8, channels=1)


def run_fit(
    kind: str,
    folder: Path,
    *,
    save_seconds: float = 20.0,
    classes: str = "ab",
    images: ImageSet = IMAGES,
    meta: dict[str, Any] | None = None,
    **changes: Any,
) -> Fitted:
    settings = FITS[kind].model_copy(update=changes)
    torch.manual_seed(3)
    return fit(
        build(kind, settings, num_classes=len(classes), channels=1, image_size=8),
        settings=settings,
        data=combine(Arm(), train=images, name="t"),
        meta={"classes": list(classes), "image_size": 8} | (meta or {}),
        machine=Machine(accelerator="cpu", save_seconds=save_seconds),
        state_file=folder / "state.pt",
        title=kind,
    )

"""models -> data/pretrained/<model>.json, and .safetensors where a model starts from weights: all but its head."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from touchstone.config import params
from touchstone.config.model import Model
from touchstone.data.imageset import replaced
from touchstone.errors import TouchstoneError
from touchstone.models.origin import Origin
from touchstone.stage import run

OUT = Path("data/pretrained")
DOWNLOADS = Path(".touchstone/downloads")


def main() -> None:
    settings = params.load()
    with replaced(OUT) as folder:
        for name in settings.models:
            try:
                note(folder / f"{name}.json", settings.model(name), settings)
            except TouchstoneError as error:
                raise TouchstoneError(f"models.{name}: {error}") from error


def note(file: Path, model: Model, settings: params.Params) -> None:
    """What the model starts from, checked against its net."""
    origin = Origin.of(model, channels=settings.data.channels)
    if model.pretrained:
        from touchstone.models.pretrained import write_body  # here: most models start from nothing, and need no torch

        old = OUT / file.name  # of an earlier run: nothing is fetched twice
        where: dict[str, Any] = {"old": old, "mirror": settings.data.mirror, "downloads": DOWNLOADS}
        weights = file.with_suffix(".safetensors")
        source = write_body(weights, model, channels=settings.data.channels, **where)
        origin = replace(origin, source=source, sha256=hashlib.sha256(weights.read_bytes()).hexdigest())
    origin.write(file)


if __name__ == "__main__":
    run(main)

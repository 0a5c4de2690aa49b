"""models -> data/pretrained/<model>.json, and .safetensors where a model starts from weights: all but its head."""

import hashlib
from dataclasses import asdict, replace
from pathlib import Path

from touchstone.config.pretrained_config import expected_statistics
from touchstone.config.resolved import ENCODER, load, read
from touchstone.config.schema.model import Model
from touchstone.data.folders import replaced
from touchstone.errors import TouchstoneError
from touchstone.models.initial_weights import EVERY_SEED, InitialWeights
from touchstone.stage import run

SETTINGS = ("audit.encoder", "data.channels", "models", "source.mirror", "students")
OUT = Path("data/pretrained")
DOWNLOADS = Path(".touchstone/downloads")


def main() -> None:
    settings = read("pretrained")
    entries = [(section, name) for section in ("models", "students") for name in settings[section]]
    models = {name: load(Model, "pretrained", section, name) for section, name in entries}
    models[ENCODER] = load(Model, "pretrained", "audit", "encoder")
    with replaced(OUT) as folder:
        for name, model in models.items():
            try:
                note(folder / f"{name}.json", model, settings["data"]["channels"], settings["source"]["mirror"])
            except TouchstoneError as error:
                raise TouchstoneError(f"models.{name}: {error}") from error


def note(file: Path, model: Model, channels: int, mirror: str) -> None:
    """Write the note of a model's initial weights and, checked against its net, the weights themselves."""
    expected = expected_statistics(model.net, model.weights) if model.pretrained else None
    initial = InitialWeights.of_model(model, channels=channels, expected=expected)
    if model.pretrained:
        from touchstone.models.pretrained import write_body  # here: most models start at random, and need no torch

        weights, old = file.with_suffix(".safetensors"), OUT / file.name  # old: so that nothing is fetched twice
        origin = write_body(weights, model, channels=channels, old=old, mirror=mirror, downloads=DOWNLOADS)
        sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
        initial = replace(initial, **asdict(origin), sha256={EVERY_SEED: sha256})
        if origin.source:
            print(f"{file.stem}: {origin.source}, licence: {origin.licence or 'not stated by its publisher'}")
    initial.write(file)


if __name__ == "__main__":
    run(main)

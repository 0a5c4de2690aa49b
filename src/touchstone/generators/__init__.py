"""Generators: each kind has a folder with its sections of params.yaml (config.py) and its nets (net.py).

net.py defines `build(fit, *, num_classes, channels, image_size)`, which returns a `generators.base.Generative`; kinds
that adapt a pretrained pipeline also take its folder, the names of the classes and the name of the entry. The kind
folder, images that were made elsewhere, has images.py in its place.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from touchstone.config.schema.generator import Fit
    from touchstone.generators.base import Generative
    from touchstone.generators.sample import Synthesized

FOLDER = Path(__file__).parent  # holds the kinds' folders


def build(
    kind: str, fit: "Fit", *, num_classes: int, channels: int, image_size: int, bits: int = 8, **pretrained: Any
) -> "Generative":
    """Build a generator of a kind, with weights drawn from torch's global generator.

    pretrained: the keywords `pipeline`, `classes` and `name` of a kind that starts from a pretrained pipeline.
    """
    module = importlib.import_module(f"touchstone.generators.{kind}.net")
    built: Generative = module.build(
        fit, num_classes=num_classes, channels=channels, image_size=image_size, **pretrained
    )
    built.bits = bits
    return built


def read_folder(name: str, classifiers: list[str | None], **settings: Any) -> "Synthesized":
    """Return the added set of an entry of kind folder, see `read` in folder/images.py.

    It is imported by name, so that its code counts for the entries of its kind alone.
    """
    return importlib.import_module("touchstone.generators.folder.images").read(name, classifiers, **settings)

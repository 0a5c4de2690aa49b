"""Generators: each kind has a folder with its sections of params.yaml (config.py) and its nets (net.py).

net.py defines `build(fit, *, num_classes, channels, image_size)`, which returns a `generators.base.Generative`.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from touchstone.config.schema.generator import Fit
    from touchstone.generators.base import Generative

FOLDER = Path(__file__).parent  # holds the kinds' folders


def build(kind: str, fit: "Fit", *, num_classes: int, channels: int, image_size: int) -> "Generative":
    """Build a generator of a kind, with weights drawn from torch's global generator."""
    module = importlib.import_module(f"touchstone.generators.{kind}.net")
    return module.build(fit, num_classes=num_classes, channels=channels, image_size=image_size)

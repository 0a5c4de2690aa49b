"""One kind of generator a file: `generators/<kind>.py` with `build(fit, *, num_classes, channels, image_size)`.

`build` returns a `touchstone.generative.Generative`; the kind's sections of params.yaml are in generator_sections.py.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from touchstone.config.generator import Fit
    from touchstone.generators.base import Generative

FOLDER = Path(__file__).parent  # a folder each kind


def build(kind: str, fit: "Fit", *, num_classes: int, channels: int, image_size: int) -> "Generative":
    """A generator of a kind that has a file here, its weights drawn from torch's global generator."""
    module = importlib.import_module(f"touchstone.generators.{kind}.net")
    return module.build(fit, num_classes=num_classes, channels=channels, image_size=image_size)

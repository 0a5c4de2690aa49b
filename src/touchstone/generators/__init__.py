"""A folder for each kind of generator, with its sections of params.yaml in config.py and its nets in net.py.

net.py has `build(fit, *, num_classes, channels, image_size)`, which returns a `touchstone.generators.base.Generative`.
fit.py fits any kind, sample.py samples it, and files.py keeps it on disk.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from touchstone.config.schema.generator import Fit
    from touchstone.generators.base import Generative

FOLDER = Path(__file__).parent  # holds the kinds' folders


def build(kind: str, fit: "Fit", *, num_classes: int, channels: int, image_size: int) -> "Generative":
    """Build a generator of a kind; torch's global generator draws its weights."""
    module = importlib.import_module(f"touchstone.generators.{kind}.net")
    return module.build(fit, num_classes=num_classes, channels=channels, image_size=image_size)

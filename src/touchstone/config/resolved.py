"""The files in data/settings: settings with all defaults merged, in one small file for each reader.

    <stage>.json                     the sections that the stage's script names in SETTINGS, and its code's hashes
    models/<model>.json              a model, a finetune or the audit's encoder, and the hashes of its net's code;
                                     null for the encoder where no generator needs it
    transforms/<name>.json           a fixed transform
    generators/<name>.fit.json       how a generator is fitted, and the hashes of its kind's code; null for images that
                                     were made elsewhere
    generators/<name>.sample.json    how it is sampled, and the same hashes
    sheet.json                       the number of images on a contact sheet
    replicates.json                  how many sets of training images are drawn, and how often generators are fitted

The stage `settings` writes them. Each other stage depends on its own files alone, so a change in params.yaml re-runs
only what it concerns.
"""

import json
from pathlib import Path
from typing import Any, TypeVar

from touchstone.config.schema.section import Section

FOLDER = Path("data/settings")
ENCODER = "audit-encoder"  # its file in models/; no model can have this name

S = TypeVar("S", bound=Section)


def write(file: Path, settings: Any, **more: Any) -> None:
    """Write settings, plain values or sections, and more, such as the hashes of code."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"settings": settings} | more, indent=2, default=_plain) + "\n", encoding="utf-8")


def read(name: str, *, folder: Path = FOLDER) -> Any:
    """Return the settings in a file as plain values. name: without .json, such as models/lenet."""
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["settings"]


def load(kind: type[S], name: str, *keys: str, folder: Path = FOLDER) -> S:
    """Return the settings in a file, or below `keys` in it, as a section: load(Model, "models/lenet")."""
    values = read(name, folder=folder)
    for key in keys:
        values = values[key]
    return kind.model_validate_json(json.dumps(values))


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot be written as settings")

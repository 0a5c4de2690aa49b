"""The sections of one kind of generator a file: `kinds/<kind>.py` with `Entry`; the generator is in `generators/`.

They are imported by name, so that a new kind is no change to what others depend on.
"""

import importlib
from pathlib import Path

from touchstone.generator_sections import Generator

FOLDER = Path(__file__).parent


def kinds() -> list[str]:
    """The names of all kinds."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def entry_of(kind: str) -> type[Generator]:
    """The section of an entry of that kind, which must be one of `kinds()`."""
    return importlib.import_module(f"touchstone.kinds.{kind}").Entry

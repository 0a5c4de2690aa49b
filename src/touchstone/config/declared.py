"""The settings that a stage's script declares in its constant SETTINGS."""

from pathlib import Path
from typing import Any

from touchstone.code_hash import constant
from touchstone.config.settings import Settings


def sections(script: Path, settings: Settings) -> dict[str, Any]:
    """The sections and fields named in the script's SETTINGS, such as data or report.sheet, with their values."""
    found: dict[str, Any] = {}
    for key in constant(script, "SETTINGS") or ():
        section, _, name = key.partition(".")
        value = getattr(settings, section)
        found[section] = found.get(section, {}) | {name: getattr(value, name)} if name else value
    return found

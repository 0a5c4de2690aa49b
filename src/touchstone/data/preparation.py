"""Settings by which images are decoded and resized."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Preparation:
    """The settings of these names in the section `data`."""

    channels: int
    image_size: int
    resize: str
    max_pixels: int
    bits: int = 8
    white: int = 0

    @classmethod
    def of_meta(cls, meta: dict[str, Any]) -> "Preparation":
        """Return what meta.json says."""
        return cls(**{field.name: meta[field.name] for field in fields(cls) if field.name in meta})

    def meta(self) -> dict[str, Any]:
        """Return the part of meta.json that says it; defaults are left unsaid."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }

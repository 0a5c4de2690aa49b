"""The base class of all sections, and the types that several of them share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Arithmetic = Literal["portable", "native"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class Section(BaseModel):
    """A mapping in params.yaml: unknown keys are errors, types are strict, and values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


@dataclass(frozen=True)
class Shown:
    """The words for a setting that differs from its default, in the report."""

    column: str
    """Its heading in the report's table of models."""
    text: str | Callable[[Any], str]
    """A format string that is filled with the value, or a function of the value."""


def shown(section: Section, column: str) -> list[str]:
    """The wordings of the settings under `column` that differ from their defaults, in the order of the fields."""
    texts = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        for mark in field.metadata:
            if isinstance(mark, Shown) and mark.column == column and value != field.default:
                texts.append(mark.text(value) if callable(mark.text) else mark.text.format(value))
    return texts


def each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values. Raises ValueError where one is listed twice."""
    repeated = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if repeated is not None:
        raise ValueError(f"{repeated!r} is listed twice")
    return values

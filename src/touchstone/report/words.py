"""Numbers and lists as text, and the pieces of sentences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from touchstone.config.schema.model import Budget
from touchstone.config.settings import Settings
from touchstone.data.wording import count as count  # templates call it words.count

MINUS = "−"


@dataclass(frozen=True)
class Fragment:
    """A piece of a sentence."""

    text: str
    style: str = ""
    """name, code, a verdict, or empty."""


Sentence = list[Fragment]
DIVERGED = Fragment("diverged", "diverged")


def percent(share: float, digits: int = 2) -> str:
    """0.94368 -> 94.37; NaN -> an en dash."""
    return "–" if math.isnan(share) else f"{100 * share:.{digits}f}"


def points(gain: float) -> str:
    """0.02957 -> +2.96, in percentage points; NaN -> an en dash."""
    if math.isnan(gain):
        return "–"
    text = f"{abs(100 * gain):.2f}"
    return text if float(text) == 0 else f"{'+' if gain > 0 else MINUS}{text}"


def number(value: float, digits: int = 3) -> str:
    """A plain number; NaN -> an en dash."""
    if math.isnan(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


def listing(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def joined(parts: Sequence[Sentence], between: str) -> Sentence:
    """The parts as one sentence."""
    return [fragment for i, part in enumerate(parts) for fragment in ([Fragment(between)] if i else []) + part]


def short_path(file: str, most: int = 28) -> str:
    """The end of a path, after an ellipsis where it is longer than `most` characters: whole folders where they fit."""
    if len(file) <= most:
        return file
    end = file[-most + 1 :]
    _, slash, rest = end.partition("/")
    return f"…/{rest}" if slash and rest else f"…{end}"


def with_code(text: str) -> Sentence:
    """A sentence from a text in which code stands between backquotes."""
    return [Fragment(part, "code" if i % 2 else "") for i, part in enumerate(text.split("`"))]


def budget(settings: Budget) -> str:
    """`600 steps`, `15 epochs`."""
    return count(settings.num_steps, "step") if settings.num_steps else count(settings.epochs, "epoch")


def confidence(settings: Settings) -> str:
    """`95 %`"""
    return f"{100 * settings.compare.confidence:g} %"

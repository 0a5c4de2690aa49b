"""The gain of each class under each arm, as a map whose cells hold a dot with its interval."""

import math
from dataclasses import dataclass

from touchstone.report.facts import Facts
from touchstone.report.words import count, points


@dataclass(frozen=True)
class HeatCell:
    """The gain of a class under an arm. Positions and widths are in % of the cell."""

    text: str
    """In points, or an en dash."""
    title: str
    """The text at length."""
    verdict: str
    shade: float
    """-1 to 1: the gain over the half-width of its interval, so that a class with few test images stays pale."""
    left: float = math.nan
    width: float = math.nan
    dot: float = math.nan


@dataclass(frozen=True)
class HeatMap:
    """The classes of one model under each of its arms."""

    model: str
    arms: list[str]
    reach: str
    """The gain at either end of a cell, in points."""
    rows: list[tuple[str, int, list[HeatCell]]]
    """Class, number of test images, a cell for each arm."""


def heat_maps(facts: Facts) -> list[HeatMap]:
    """A map for each model with arms that are compared; none where images may have several labels."""
    maps = []
    for model in facts.settings.trained:
        tables = {
            result.arm: result.class_gains
            for result in facts.results
            if result.model == model and result.class_gains is not None
        }
        if tables:
            ends = [abs(float(v)) for t in tables.values() for v in t[["gain_low", "gain_high"]].to_numpy().ravel()]
            reach = max([end for end in ends if math.isfinite(end)], default=1.0) or 1.0
            rows = []
            for k, name in enumerate(facts.classes):
                number = int(facts.counts["test"].iloc[k])
                gains = [(arm, table.iloc[k].to_dict()) for arm, table in tables.items()]
                cells = [_cell(f"{name}, {arm}", number, gain, reach) for arm, gain in gains]
                rows.append((name, number, cells))
            maps.append(HeatMap(model, list(tables), f"{100 * reach:.0f}", rows))
    return maps


def _cell(what: str, number: int, gain: dict, reach: float) -> HeatCell:
    value, low, high = (float(gain[key]) for key in ("gain", "gain_low", "gain_high"))
    text = points(value)
    if not (math.isfinite(low) and math.isfinite(high)):
        return HeatCell(text, f"{what}: {text} points, too few test images for an interval", "", 0.0)

    def place(gain: float) -> float:
        return round(50 * (1 + gain / reach), 1)

    half = (high - low) / 2
    title = f"{what}: {text} points, {points(low)} to {points(high)}, {count(number, 'test image')}, {gain['verdict']}"
    shade = max(-1.0, min(1.0, value / half)) if half else 0.0
    return HeatCell(
        text, title, gain["verdict"], round(shade, 2), place(low), round(place(high) - place(low), 1), place(value)
    )

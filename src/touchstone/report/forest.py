"""Differences with their intervals on one axis, in groups: the geometry of the charts of gains and of changes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from touchstone.report.charts import Ticks, nice_ticks
from touchstone.report.facts import Facts, ReportedResult
from touchstone.report.words import MINUS, confidence, percent, points

ENSEMBLES = "ensembles"  # the title of their group


@dataclass(frozen=True)
class Axis:
    """The range of differences, as shares, that the chart shows."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """The position of a value in % of the axis."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    @property
    def ticks(self) -> Ticks:
        """Round numbers of points, three or more, and where they stand."""
        low, high = 100 * self.low, 100 * self.high
        rounds = next((found for count in (4, 6, 8) if len(found := nice_ticks(low, high, count)) > 2), [0.0])
        return [(self.place(v / 100), f"{v:+g}".replace("-", MINUS) if v else "0") for v in rounds]


def axis_over(values: Iterable[float]) -> Axis:
    """The axis that holds 0 and all values, with a margin."""
    ends = [0.0, *values]
    low, high = min(ends), max(ends)
    pad = 0.04 * (high - low) or 0.01
    return Axis(low - pad, high + pad)


@dataclass(frozen=True)
class Row:
    """A difference. Positions and widths are in % of the axis."""

    label: str
    name: str
    """The run or ensemble."""
    arm: str
    """"" where the reader cannot hide it."""
    score: str
    """In per cent."""
    difference: str
    """In points, as the interval."""
    interval: str
    verdict: str
    has_images: bool
    """Whether the page shows the images that changed."""
    left: float
    width: float
    dot: float
    band: tuple[float, float] | None = None
    """Left end and width of the range of gains that are too small to be detected."""


@dataclass(frozen=True)
class Group:
    """The differences from one baseline."""

    title: str
    """The model, ENSEMBLES, or "" for runs with a baseline of their own."""
    baseline: str
    """The arm or, with such a title, the run; "" where each row has its own, which then needs no line."""
    score: str
    """The baseline's value, in per cent."""
    rows: list[Row]


@dataclass(frozen=True)
class Forest:
    """All differences that a page compares."""

    caption: str
    headings: tuple[str, str, str]
    """Return what a row is, its score, and what its difference is called."""
    groups: list[Group]
    zero: float
    """Position of no difference."""
    ticks: Ticks

    @property
    def is_shaded(self) -> bool:
        """Whether a row shows which gains are too small to be detected."""
        return any(row.band for group in self.groups for row in group.rows)


def row_of(
    axis: Axis, low: float, value: float, high: float, *, detectable: float = math.nan, **texts: str | bool
) -> Row:
    """A row with its bar. detectable: the smallest gain that would be detected. texts: the other fields of Row."""
    left, right = axis.place(low), axis.place(high)
    interval = f"{points(low)} to {points(high)}"
    bar: dict[str, Any] = {"left": left, "width": round(right - left, 2), "dot": axis.place(value)}
    if not math.isnan(detectable):
        start, end = axis.place(max(axis.low, -detectable)), axis.place(min(axis.high, detectable))
        bar["band"] = start, round(end - start, 2)
    return Row(difference=points(value), interval=interval, **bar, **texts)  # type: ignore[arg-type]


def forest(facts: Facts) -> Forest | None:
    """Every gain with its interval, or None where nothing is compared."""
    results = [result for result in facts.results if not math.isnan(result.value("gain"))]
    if not results:
        return None
    axis = axis_over(result.value(key) for result in results for key in ("gain_low", "gain_high"))
    groups: dict[tuple[str, str], list[Row]] = {}
    for result in results:
        own = bool(result.arm) and facts.settings.compare.baseline != result.arm
        title = result.model if own else "" if result.arm else ENSEMBLES
        groups.setdefault((title, str(result.scores["baseline"])), []).append(
            _row(result, axis, percent(result.value(facts.measure), 1), own=own)
        )
    caption = (
        f"Gain in {facts.measure_name} over the baseline, in percentage points, with the {confidence(facts.settings)} "
        "interval, adjusted for all comparisons."
    )
    return Forest(
        caption,
        ("arm", "mean AP %" if facts.multi_label else "accuracy %", "gain"),
        [_group(title, facts.result(baseline), rows, facts.measure) for (title, baseline), rows in groups.items()],
        axis.place(0.0),
        axis.ticks,
    )


def _group(title: str, baseline: ReportedResult, rows: list[Row], measure: str) -> Group:
    shown = baseline.name if title in ("", ENSEMBLES) else baseline.arm
    return Group(title, shown, percent(baseline.value(measure), 1), rows)


def _row(result: ReportedResult, axis: Axis, score: str, *, own: bool) -> Row:
    gain = [result.value(key) for key in ("gain_low", "gain", "gain_high")]
    return row_of(
        axis,
        *gain,
        label=result.arm if own else result.name,
        name=result.name,
        arm=result.arm,
        score=score,
        verdict=result.verdict,
        has_images=result.changes is not None,
        detectable=result.value("gain_detectable"),
    )

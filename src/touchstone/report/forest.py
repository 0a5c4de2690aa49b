"""Differences with their intervals on one axis, in groups: the geometry of the charts of gains and of changes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Group:
    """The differences from one baseline."""

    title: str
    """The model, ENSEMBLES, or "" for runs with a baseline of their own."""
    baseline: str
    """The arm or, with such a title, the run; "" where each row has its own, which then needs no line."""
    score: str
    """That of the baseline, in per cent."""
    rows: list[Row]


@dataclass(frozen=True)
class Forest:
    """All differences that a page compares."""

    caption: str
    headings: tuple[str, str]
    """What a row is, and what its difference is called."""
    groups: list[Group]
    zero: float
    """Position of no difference."""
    ticks: Ticks
    band: tuple[float, float] | None = None
    """Left end and width of the range of gains of arms that are too small to be detected."""
    detectable: str = ""
    """Its half-width in points, or "" without a band."""


def row_of(axis: Axis, low: float, value: float, high: float, **texts: str | bool) -> Row:
    """A row with its bar. texts: the fields of Row that no position follows from."""
    left, right = axis.place(low), axis.place(high)
    interval = f"{points(low)} to {points(high)}"
    bar = {"left": left, "width": round(right - left, 2), "dot": axis.place(value)}
    return Row(difference=points(value), interval=interval, **bar, **texts)  # type: ignore[arg-type]


def forest(facts: Facts) -> Forest | None:
    """Every gain with its interval, or None where nothing is compared."""
    results = [result for result in facts.results if not math.isnan(result.value("gain"))]
    if not results:
        return None
    possible = [gain for result in results if result.arm and not math.isnan(gain := result.value("gain_detectable"))]
    band = max(possible, default=math.nan)
    ends = [result.value(key) for result in results for key in ("gain_low", "gain_high")]
    axis = axis_over([*ends, -band, band] if possible else ends)
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
        ("training set", "gain"),
        [_group(title, facts.result(baseline), rows, facts.measure) for (title, baseline), rows in groups.items()],
        axis.place(0.0),
        axis.ticks,
        (axis.place(-band), round(axis.place(band) - axis.place(-band), 2)) if possible else None,
        percent(band, 1) if possible else "",
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
    )

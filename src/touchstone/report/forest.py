"""Gains with their intervals on one axis, grouped by model: the geometry of the report's first chart."""

import math
from dataclasses import dataclass

from touchstone.config.schema.data import Arm, Transform
from touchstone.report.charts import Ticks, nice_ticks
from touchstone.report.facts import Facts, ReportedResult
from touchstone.report.words import MINUS, count, listing, percent

ENSEMBLES = "ensembles"


@dataclass(frozen=True)
class Row:
    """A gain. Positions and widths are in % of the axis."""

    label: str
    result: ReportedResult
    score: str
    """That of the run, in per cent."""
    left: float
    width: float
    dot: float


@dataclass(frozen=True)
class Group:
    """The gains over one baseline."""

    title: str
    """The model, ENSEMBLES, or "" for runs with a baseline of their own."""
    baseline: ReportedResult
    score: str
    """That of the baseline, in per cent."""
    rows: list[Row]


@dataclass(frozen=True)
class Forest:
    """All gains of a study."""

    groups: list[Group]
    zero: float
    """Position of no gain."""
    ticks: Ticks
    band: tuple[float, float] | None
    """Left end and width of the range of gains of arms that are too small to be detected."""
    detectable: str
    """Its half-width in points, or "" without a band."""


def forest(facts: Facts) -> Forest | None:
    """Every gain with its interval, or None where nothing is compared."""
    results = [result for result in facts.results if not math.isnan(result.value("gain"))]
    if not results:
        return None
    possible = [gain for result in results if result.arm and not math.isnan(gain := result.value("gain_detectable"))]
    band = max(possible, default=math.nan)
    ends = [result.value(key) for result in results for key in ("gain_low", "gain_high")]
    low, high = min(0.0, *ends), max(0.0, *ends)
    if possible:
        low, high = min(low, -band), max(high, band)
    pad = 0.04 * (high - low) or 0.01
    low, high = low - pad, high + pad

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    groups: dict[tuple[str, str], list[Row]] = {}
    for result in results:
        baseline = str(result.scores["baseline"])
        own = result.arm and facts.settings.compare.baseline != result.arm
        left, right = place(result.value("gain_low")), place(result.value("gain_high"))
        row = Row(
            result.arm if own else result.name,
            result,
            percent(result.value(facts.measure), 1),
            left,
            round(right - left, 2),
            place(result.value("gain")),
        )
        title = result.model if own else "" if result.arm else ENSEMBLES
        groups.setdefault((title, baseline), []).append(row)
    return Forest(
        [
            Group(title, facts.result(baseline), percent(facts.result(baseline).value(facts.measure), 1), rows)
            for (title, baseline), rows in groups.items()
        ],
        place(0.0),
        [(place(v / 100), f"{v:+g}".replace("-", MINUS) if v else "0") for v in nice_ticks(100 * low, 100 * high)],
        (place(-band), round(place(band) - place(-band), 2)) if possible else None,
        percent(band, 1) if possible else "",
    )


def training_sets(facts: Facts) -> list[tuple[str, str]]:
    """Arm -> what its training set holds, as a clause that goes on from its name."""
    return [(name, _holds(name, arm, facts)) for name, arm in facts.settings.arms.items()]


def _holds(name: str, arm: Arm, facts: Facts) -> str:
    real, added = facts.arm_sizes[name]
    if not arm.add:
        return f"is the {real:,} real images alone"
    kinds = (("transform", facts.settings.transforms), ("generator", facts.settings.generators))
    parts = []
    for kind, known in kinds:
        if names := [_named(each, known[each]) for each in arm.add if each in known]:
            parts.append(f"the {kind}{'s' if len(names) > 1 else ''} {listing(names)}")
    by = f"{count(added, 'image')} from {' and '.join(parts)}"
    return f"adds {by}" if arm.real else f"is {by} without any real image"


def _named(name: str, made_by: object) -> str:
    return f"{name} (plain copies)" if made_by == Transform() else name

"""Numbers -> the geometry of the charts in the HTML template: lines on a plane."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from touchstone.evaluation.convergence import OVERFITTED, STILL_FALLING
from touchstone.report.facts import Facts, ReportedResult
from touchstone.report.words import count

WIDTH, HEIGHT = 300, 150  # of a chart's plane, in its own units
MAX_POINTS = 150  # of a line
TITLES = {"train": "Training", "val": "Validation", "map": "mean average precision", "lr": "Learning rate"}
LOG_FACTOR = 20  # losses and rates that span a larger factor are drawn to a log scale
Ticks = list[tuple[float, str]]  # position, text


@dataclass(frozen=True)
class Chart:
    """Lines on one plane."""

    title: str
    lines: list[tuple[str, str, float]]
    """Name, SVG path, last value."""
    x_ticks: Ticks
    y_ticks: Ticks
    csv: str
    """The points of the lines."""
    axis: str
    marks: list[tuple[float, float, str]] = field(default_factory=list)
    """Points of lines that say something, and what; x and y in the chart's units."""

    @property
    def summary(self) -> str:
        """A description for those who do not see the chart."""
        ends = ", ".join(f"{name} {value:.3g}" for name, _, value in self.lines)
        return f"{self.title} against {self.axis}; last values: {ends}"


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers within [low, high]."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= raw * 0.999)
    return [round(i * step, 12) for i in _whole_numbers(low / step, high / step)]


def _whole_numbers(low: float, high: float) -> range:
    """The whole numbers within [low, high]."""
    return range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)


def curves(facts: Facts, model: str) -> list[Chart]:
    """The learning curves of a model: a chart for each column of its runs' curves, a line for each arm."""
    tables = {arm: facts.curves[f"{model}-{arm}"] for arm in facts.settings.arms}
    columns = dict.fromkeys(str(column) for table in tables.values() for column in table)
    drawn = []
    for column in [column for column in columns if column not in ("step", "epoch")]:
        lines = {arm: t[["step", column]].to_numpy() for arm, t in tables.items() if column in t}
        lines = {arm: xy[np.isfinite(xy).all(1)] for arm, xy in lines.items()}
        marks = _courses(facts, model) if column == "val_loss" else {}
        drawn += maybe_chart(" ".join(TITLES.get(part, part) for part in column.split("_")), lines, marks=marks)
    return drawn


def _courses(facts: Facts, model: str) -> dict[str, tuple[float, str]]:
    """Arm -> the step to mark and what it says, of runs that overfitted or had not converged."""
    marks = {}
    for arm in facts.settings.arms:
        result = facts.result(f"{model}-{arm}")
        course = str(result.scores.get("convergence", ""))
        if course == OVERFITTED:
            marks[arm] = result.value("val_lowest_step"), f"{arm}: lowest here, overfitted after"
        elif course == STILL_FALLING:
            marks[arm] = math.inf, f"{arm}: still falling at the end"
    return marks


def losses(table: pd.DataFrame) -> list[Chart]:
    """The charts of a generator: its losses and, where sheets of samples were drawn, the diversity of its samples."""
    names = [str(name) for name in table if name not in ("step", "diversity")]
    drawn = [chart("Loss", {name.replace("_", " "): table[["step", name]].to_numpy() for name in names})]
    diversity = table[["step", "diversity"]].dropna().to_numpy()
    if len(diversity) > 1:
        drawn.append(chart("Diversity of samples", {"relative to real images": diversity}))
    return drawn


def rates(facts: Facts) -> dict[str, Chart]:
    """The curve of the learning-rate finder, for each model that asked for it."""
    return {
        model: chart("Loss", {name: table[["lr", name]].to_numpy() for name in ("loss", "smoothed")}, log_x=True)
        for model, (_, table) in facts.rates.items()
    }


def maybe_chart(title: str, series: dict[str, np.ndarray], **options: Any) -> list[Chart]:
    """One chart of the series that have points; none where no series has any. options: those of `chart`."""
    series = {name: xy for name, xy in series.items() if len(xy)}
    return [chart(title, series, **options)] if series else []


def chart(
    title: str,
    series: dict[str, np.ndarray],
    *,
    log_x: bool = False,
    shares_of: str = "",
    axis: str = "",
    marks: Mapping[str, tuple[float, str]] | None = None,
) -> Chart:
    """Draw lines. series: name -> float (points, 2). axis: the name of the x axis, unless it is training steps.

    shares_of: the name of the x axis of a chart whose axes both run from 0 to 1. marks: name -> x of the point of that
    line to mark, or the last one before it, and the text.
    """
    axis = shares_of or axis
    x_name = axis or ("lr" if log_x else "step")
    parts = [pd.DataFrame({"line": name, x_name: xy[:, 0], title.lower(): xy[:, 1]}) for name, xy in series.items()]
    csv = pd.concat(parts).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    if log_x:
        series = {name: np.column_stack([np.log10(xy[:, 0]), xy[:, 1]]) for name, xy in series.items()}
    points = np.concatenate(list(series.values()))
    (x_low, low), (x_high, high) = points.min(0), points.max(0)
    x_low = x_low if log_x else 0.0
    if shares_of:
        x_high, low, high = 1.0, 0.0, 1.0
    log_y = title.lower().endswith(("loss", "rate")) and low > 0 and high / low > LOG_FACTOR
    low, high, y_ticks = _y_axis(low, high, log_y)

    def place(values: np.ndarray) -> np.ndarray:
        return HEIGHT * (1 - (np.asarray(values) - low) / (high - low))

    lines = []
    for name, xy in series.items():
        thin = xy[np.unique(np.linspace(0, len(xy) - 1, min(len(xy), MAX_POINTS)).round().astype(int))]
        y = place(np.log10(thin[:, 1]) if log_y else thin[:, 1])
        lines.append((name, _path(WIDTH * (thin[:, 0] - x_low) / (x_high - x_low), y), float(xy[-1, 1])))
    marked = []
    for name, (x, text) in (marks or {}).items():
        if name in series:
            near = series[name][max(0, int(np.searchsorted(series[name][:, 0], x, side="right")) - 1)]
            height = float(place(np.log10(near[1]) if log_y else near[1]))
            marked.append((WIDTH * float(near[0] - x_low) / float(x_high - x_low), height, text))
    return Chart(
        title + (", log scale" if log_y else ""),
        lines,
        [(WIDTH * (x - x_low) / (x_high - x_low), text) for x, text in _x_ticks(x_low, x_high, log_x)],
        [(float(place(np.array(value))), text) for value, text in y_ticks],
        csv,
        axis or ("the learning rate, log scale" if log_x else "training steps"),
        marked,
    )


def _y_axis(low: float, high: float, log: bool) -> tuple[float, float, Ticks]:
    """The ends of the axis, and its ticks; in powers of ten with a log scale."""
    if log:
        low, high = math.log10(low), math.log10(high)
        decades = _whole_numbers(low, high)
        step = max(1, math.ceil(len(decades) / 5))
        return low, high, [(float(decade), f"{10.0**decade:g}") for decade in decades[::step]]
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    return low, high, [(value, f"{value:g}") for value in nice_ticks(low, high)]


def _x_ticks(low: float, high: float, log: bool) -> Ticks:
    if log:
        return [(float(decade), f"1e{decade}") for decade in _whole_numbers(low, high)]
    return [(value, f"{value:g}" if high <= 1 else f"{value:,.0f}") for value in nice_ticks(low, high)]


def _path(x: np.ndarray, y: np.ndarray) -> str:
    if len(x) == 1:  # a dash in place of a line without length
        x, y = np.array([x[0] - 3, x[0] + 3]), np.repeat(y, 2)
    return "M" + " L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))


def wrong_text(result: ReportedResult, num_test: int) -> str:
    """The numbers of images that the mean over the replicates gets wrong, and of those shown."""
    if not result.num_wrong:
        return "none wrong"
    shown = len(result.mistakes)
    which = "all" if shown == result.num_wrong else f"the {shown} most confident" if shown else "none"
    return f"{result.num_wrong:,} of {count(num_test, 'test image')} wrong; {which} shown"

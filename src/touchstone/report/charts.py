"""Numbers -> geometry of the drawings that the HTML template makes: learning curves, gains, reliability."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from touchstone.report.facts import Facts, Scored
from touchstone.report.words import count

WIDTH, HEIGHT = 300, 150  # of a chart's plane, in its own units
MAX_POINTS = 150  # of a line
SHARES = ("Validation accuracy", "Validation mean", "Rank correlation", "Diversity")  # titles: never to a log scale


@dataclass(frozen=True)
class Chart:
    """Lines over steps. lines: (name, SVG path, last value); ticks: (position, text); csv: what they are drawn from."""

    title: str
    lines: list[tuple[str, str, float]]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    csv: str
    axis: str = "training steps"

    @property
    def summary(self) -> str:
        """What the picture shows, for those who do not see it."""
        ends = ", ".join(f"{name} {value:.3g}" for name, _, value in self.lines)
        return f"{self.title} against {self.axis}; last values: {ends}"


def nice_ticks(low: float, high: float, *, about: int = 4) -> list[float]:
    """Round numbers within [low, high], about so many."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def curves(facts: Facts, model: str) -> list[Chart]:
    """The charts of a model, a line an arm: training loss and, with a validation split, its loss and accuracy."""
    tables = {arm: facts.curves[f"{model}-{arm}"] for arm in facts.params.arms}
    charts = []
    for column, title in (
        ("train_loss", "Training loss"),
        ("val_loss", "Validation loss"),
        ("val_accuracy", "Validation accuracy"),
        ("val_map", "Validation mean average precision"),
        ("lr", "Learning rate"),
    ):
        series = {arm: t[["step", column]].dropna().to_numpy() for arm, t in tables.items() if column in t}
        series = {arm: xy[np.isfinite(xy).all(1)] for arm, xy in series.items()}
        series = {arm: xy for arm, xy in series.items() if len(xy)}
        if series:
            charts.append(chart(title, series))
    return charts


def reliability(facts: Facts, model: str) -> list[Chart]:
    """Accuracy against confidence, a line an arm: as predicted and, with validation images, with a temperature."""
    charts = []
    for scaled, title in ((0, "As predicted"), (1, "With a temperature")):
        series = {}
        for arm in facts.params.arms:
            table = facts.entry(f"{model}-{arm}").reliability
            found = table[table["scaled"] == scaled][["confidence", "accuracy"]].to_numpy()
            if len(found):
                series[arm] = found
        if series:
            charts.append(chart(title, series, shares_of="confidence"))
    return charts


def losses(table: pd.DataFrame) -> list[Chart]:
    """The charts of a generator: its losses, and how diverse its samples were where sheets of them were drawn."""
    names = [str(name) for name in table if name not in ("step", "diversity")]
    drawn = [chart("Loss", {name.replace("_", " "): table[["step", name]].to_numpy() for name in names})]
    diverse = table[["step", "diversity"]].dropna().to_numpy()
    return [*drawn, chart("Diversity of samples", {"relative to real images": diverse})] if len(diverse) > 1 else drawn


def rates(facts: Facts) -> dict[str, Chart]:
    """The search of each model whose learning rate was found."""
    return {
        model: chart("Loss", {name: table[["lr", name]].to_numpy() for name in ("loss", "smoothed")}, log_x=True)
        for model, (_, table) in facts.rates.items()
    }


def chart(
    title: str, series: dict[str, np.ndarray], *, log_x: bool = False, shares_of: str = "", axis: str = ""
) -> Chart:
    """series: name -> float (points, 2). Losses and rates that span a factor above 20 are drawn to a log scale.

    axis: the name of the x axis, where that is not training steps; shares_of: the same, of a chart of which both axes
    run from 0 to 1.
    """
    csv = _csv(series, title, shares_of or axis or ("lr" if log_x else "step"))
    if log_x:
        series = {name: np.column_stack([np.log10(xy[:, 0]), xy[:, 1]]) for name, xy in series.items()}
    every = np.concatenate(list(series.values()))
    (x_low, low), (x_high, high) = every.min(0), every.max(0)
    x_low = x_low if log_x else 0.0
    if shares_of:
        x_high, low, high = 1.0, 0.0, 1.0
    log = low > 0 and high / low > 20 and not title.startswith(SHARES)
    if log:
        low, high = math.log10(low), math.log10(high)
        decades = list(range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1))
        y_values = [float(d) for d in decades[:: max(1, math.ceil(len(decades) / 5))]]
        y_texts = [f"{10.0**d:g}" for d in y_values]
    else:
        low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
        y_values = nice_ticks(low, high)
        y_texts = [f"{value:g}" for value in y_values]

    def place(values: np.ndarray) -> np.ndarray:
        return HEIGHT * (1 - (np.asarray(values) - low) / (high - low))

    lines = []
    for name, xy in series.items():
        thin = xy[np.unique(np.linspace(0, len(xy) - 1, min(len(xy), MAX_POINTS)).round().astype(int))]
        y = place(np.log10(thin[:, 1]) if log else thin[:, 1])
        lines.append((name, _path(WIDTH * (thin[:, 0] - x_low) / (x_high - x_low), y), float(xy[-1, 1])))
    x_ticks = [(WIDTH * (x - x_low) / (x_high - x_low), text) for x, text in _x_ticks(x_low, x_high, log_x)]
    y_ticks = [(float(y), text) for y, text in zip(place(np.array(y_values)), y_texts, strict=True)]
    axis = shares_of or axis or ("the learning rate, log scale" if log_x else Chart.axis)
    return Chart(title + (", log scale" if log else ""), lines, x_ticks, y_ticks, csv, axis)


def _csv(series: dict[str, np.ndarray], title: str, x: str) -> str:
    parts = [pd.DataFrame({"line": name, x: xy[:, 0], title.lower(): xy[:, 1]}) for name, xy in series.items()]
    return pd.concat(parts).to_csv(index=False, float_format="%.6g", lineterminator="\n")


def _x_ticks(low: float, high: float, log: bool) -> list[tuple[float, str]]:
    if not log:
        return [(value, f"{value:g}" if high <= 1 else f"{value:,.0f}") for value in nice_ticks(low, high)]
    return [(float(d), f"1e{d}") for d in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)]


def _path(x: np.ndarray, y: np.ndarray) -> str:
    if len(x) == 1:  # a mark instead of a line of no length
        x, y = np.array([x[0] - 3, x[0] + 3]), np.repeat(y, 2)
    return "M" + " L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))


@dataclass(frozen=True)
class Forest:
    """Gains on one axis. rows: (entry, left %, width %, dot %); zero and ticks in % of the axis."""

    rows: list[tuple[Scored, float, float, float]]
    zero: float
    ticks: list[tuple[float, str]]


def forest(facts: Facts) -> Forest | None:
    """Every gain with its interval, or None where nothing is compared."""
    entries = [entry for entry in facts.entries if not math.isnan(entry.value("gain"))]
    if not entries:
        return None
    low = min(0.0, *(entry.value("gain_low") for entry in entries))
    high = max(0.0, *(entry.value("gain_high") for entry in entries))
    pad = 0.06 * (high - low) or 0.01
    low, high = low - pad, high + pad

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    rows = []
    for entry in entries:
        left, right = place(entry.value("gain_low")), place(entry.value("gain_high"))
        rows.append((entry, left, round(right - left, 2), place(entry.value("gain"))))
    ticks = [
        (place(v / 100), f"{v:+g}".replace("-", "\u2212") if v else "0") for v in nice_ticks(100 * low, 100 * high)
    ]
    return Forest(rows, place(0.0), ticks)


def wrong_text(entry: Scored, num_test: int) -> str:
    """How many images the mean over the seeds gets wrong, and how many of them are shown."""
    if not entry.num_wrong:
        return "none wrong"
    shown = len(entry.mistakes)
    which = "all" if shown == entry.num_wrong else f"the {shown} most confident" if shown else "none"
    return f"{entry.num_wrong:,} of {count(num_test, 'test image')} wrong; {which} shown"

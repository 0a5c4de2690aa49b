"""Facts -> the figures that studies keep beside report.md: small PNGs, and a page in Markdown that shows them.

Equal facts give equal bytes: figures hold no date and no version, and matplotlib brings its own font.
"""

import io
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.typing import ColorType
from PIL import Image, ImageDraw

from touchstone.data.levels import limits
from touchstone.data.sheets import caption_font, thumbnail
from touchstone.evaluation.compare import HELPS, HURTS
from touchstone.report.facts import Facts, ReportedResult
from touchstone.report.headline import title
from touchstone.report.table import escape

MOST_BYTES = 150_000
PALETTES = (256, 64)  # numbers of colours
COLOURS = ("#5a636d", "#1f6fa8", "#b0620a", "#6d4fa3", "#14807a", "#a33c6e", "#7a7a1f", "#2c8f3a")
GREY, BLUE, OCHRE = "#5a636d", "#1f6fa8", "#b0620a"
LABELLED = 15  # classes up to which a confusion matrix has names and numbers
PANELS = 6  # rows of curves that are drawn
MISTAKES, COLUMNS = 16, 8
LONGEST = 16  # letters of a class's name above an image
TITLES = {"accuracy": "accuracy", "map": "mean average precision"}


def figures(facts: Facts) -> dict[str, bytes]:
    """Return name -> PNG, of those that there is something to draw for."""
    return {name: _png(each.draw(facts)) for name, each in _DRAWINGS.items() if each.has(facts)}


def page(facts: Facts) -> str:
    """Return README.md of the folder of the figures, which shows each with what it is."""
    result = escape(shown_result(facts).name)
    parts = [f"# {escape(title(facts))}: figures"]
    for name, each in _DRAWINGS.items():
        if each.has(facts):
            parts.append(f"![]({name}.png)\n\n{each.caption.format(result=result, left_out=_left_out(facts))}")
    return "\n\n".join(parts) + "\n"


def shown_result(facts: Facts) -> ReportedResult:
    """Return the result whose matrix and mistakes are drawn: the best on validation or, without it, the first."""
    results = facts.results
    key = f"val_{facts.measure}"
    return max(results, key=lambda result: result.value(key)) if all(key in r.scores for r in results) else results[0]


def _compared(facts: Facts) -> list[ReportedResult]:
    return [result for result in facts.results if "gain" in result.scores]


def _gains(facts: Facts) -> Image.Image:
    """One line for each result that is compared, the first at the top."""
    results = _compared(facts)
    figure = Figure(figsize=(7.2, 0.9 + 0.3 * len(results)), dpi=100, layout="constrained")
    axes = figure.subplots()
    for y, result in enumerate(results):
        gain, low, high = (100 * result.value(key) for key in ("gain", "gain_low", "gain_high"))
        colour = {HELPS: BLUE, HURTS: OCHRE}.get(result.verdict, GREY)
        axes.errorbar(gain, y, xerr=[[gain - low], [high - gain]], fmt="o", markersize=5, capsize=3, color=colour)
    axes.set_yticks(range(len(results)), [f"{result.name}: {result.verdict}" for result in results])
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_xlabel("gain over the baseline, points")
    _plain(axes, grid="x")
    return _rendered(figure)


class _Panel(NamedTuple):
    """A row of the figure of curves: a model with a line for each arm, or an arm with one for each model."""

    name: str
    lines: dict[str, pd.DataFrame]


def _panels(facts: Facts) -> list[_Panel]:
    """Return a row for each model that has curves; where there is one arm, a single row with all models."""
    arms = list(facts.settings.arms)
    of_models = [
        _Panel(model, {arm: facts.curves[f"{model}-{arm}"] for arm in arms if f"{model}-{arm}" in facts.curves})
        for model in facts.settings.trained
    ]
    of_models = [panel for panel in of_models if panel.lines]
    if len(arms) > 1:
        return of_models
    return [_Panel(arm, {panel.name: panel.lines[arm] for panel in of_models}) for arm in arms]


def _curves(facts: Facts) -> Image.Image:
    """A row for each of the first PANELS: the loss, and the score on validation images, where there are any."""
    panels = _panels(facts)[:PANELS]
    score = f"val_{facts.measure}"
    validated = any(_has(table, score) for panel in panels for table in panel.lines.values())
    figure = Figure(figsize=(7.2, (2.5 if len(panels) > 1 else 3.4) * len(panels)), dpi=100, layout="constrained")
    grid = figure.subplots(len(panels), 2 if validated else 1, squeeze=False)
    for row, panel in zip(grid, panels, strict=True):
        drawn = [(row[0], "train_loss", "--"), (row[0], "val_loss", "-"), (row[-1], score, "-")]
        for (line, table), colour in zip(panel.lines.items(), _colours(len(panel.lines)), strict=True):
            for axes, name, dashes in drawn:
                if _has(table, name):
                    label = None if line in axes.get_legend_handles_labels()[1] else line  # once for both losses
                    axes.plot(table["step"], table[name], dashes, color=colour, linewidth=1.2, label=label)
        row[0].set_title(f"{panel.name}: loss", fontsize=10)
        if validated:
            row[1].set_title(f"{panel.name}: {TITLES[facts.measure]} on validation images", fontsize=10)
        for axes in row:
            axes.set_xlabel("step")
            _plain(axes)
        named = row[-1] if row[-1].lines else row[0]
        named.legend(frameon=False, fontsize=8)
        row[-1].set_visible(bool(row[-1].lines))
    return _rendered(figure)


def _left_out(facts: Facts) -> str:
    """A sentence that says how many models have no curves in the figure; "" where all have."""
    number = len(_panels(facts))
    return f" Of {number} models, the first {PANELS} are shown." if number > PANELS else ""


def _colours(number: int) -> Sequence[ColorType]:
    """Return a colour for each of a number of lines."""
    return COLOURS[:number] if number <= len(COLOURS) else colormaps["turbo"](np.linspace(0, 1, number)).tolist()


def _has(table: pd.DataFrame, column: str) -> bool:
    return column in table and bool(table[column].notna().any())


def _confusion(facts: Facts) -> Image.Image:
    result, classes = shown_result(facts), facts.classes
    shares = 100 * result.confusion / np.maximum(result.confusion.sum(1, keepdims=True), 1)
    side = 2.2 + 0.42 * min(len(classes), LABELLED)
    figure = Figure(figsize=(side, side), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    if len(classes) <= LABELLED:
        axes.set_xticks(range(len(classes)), classes, rotation=60, ha="right")
        axes.set_yticks(range(len(classes)), classes)
        for i, j in np.argwhere(shares >= 0.5):
            dark = shares[i, j] > 60
            axes.text(j, i, f"{shares[i, j]:.0f}", ha="center", va="center", fontsize=8, color="w" if dark else "k")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(result.name, fontsize=10)
    return _rendered(figure)


def _samples(facts: Facts) -> Image.Image:
    return _stacked([(name, Image.open(io.BytesIO(png)).convert("RGB")) for name, png in facts.strips.items()])


def _mistakes(facts: Facts) -> Image.Image:
    mistakes = shown_result(facts).mistakes[:MISTAKES]
    rows = math.ceil(len(mistakes) / COLUMNS)
    figure = Figure(figsize=(1.2 * COLUMNS, 1.5 * rows), dpi=100, layout="constrained")
    between = limits([mistake.pixels for mistake in mistakes])
    for axes in figure.subplots(rows, COLUMNS, squeeze=False).flat:
        axes.set_axis_off()
    for axes, each in zip(figure.axes, mistakes, strict=False):
        axes.imshow(thumbnail(each.pixels, between=between))
        axes.set_title(f"{_short(each.true)}\n→ {_short(each.predicted)}", fontsize=7)
    return _rendered(figure)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _attributions(facts: Facts) -> Image.Image:
    """The tiles of each run that is explained: an image, then a map of each method; own pictures come last."""
    rows = []
    for name, run in facts.attributions.items():
        height, width = len(run.tiles) * run.tiles.shape[2], run.tiles.shape[1] * run.tiles.shape[3]
        tiles = run.tiles.transpose(0, 2, 1, 3, 4).reshape(height, width, 3)
        rows.append(
            (f"{name}: image, {', '.join(word.replace('_', ' ') for word in run.scales)}", Image.fromarray(tiles))
        )
    return _stacked(rows)


def _stacked(rows: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Pictures one above the other, each below its name."""
    heading = 16
    size = max(image.width for _, image in rows), sum(image.height + heading for _, image in rows)
    out = Image.new("RGB", size, "white")
    draw, y = ImageDraw.Draw(out), 0
    for name, image in rows:
        draw.text((4, y + 3), name, fill="black", font=caption_font())
        out.paste(image, (0, y + heading))
        y += heading + image.height
    return out


def _plain(axes: Axes, *, grid: str = "both") -> None:
    axes.grid(alpha=0.25, axis=grid)  # type: ignore[arg-type]
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _rendered(figure: Figure) -> Image.Image:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])


class _Drawing(NamedTuple):
    has: Callable[[Facts], bool]
    """Whether there is something to draw."""
    draw: Callable[[Facts], Image.Image]
    caption: str
    """Markdown. {result}: the name of the result that is shown; {left_out}: what the figure of curves leaves out."""


_DRAWINGS = {
    "gains": _Drawing(
        lambda facts: bool(_compared(facts)), _gains, "Gains over the baseline in points, with their intervals."
    ),
    "curves": _Drawing(
        lambda facts: any(len(table) for table in facts.curves.values()),
        _curves,
        "Losses and scores against training steps, means over the replicates; dashed: on training images.{left_out}",
    ),
    "confusion": _Drawing(
        lambda facts: len(shown_result(facts).confusion) > 0,
        _confusion,
        "Confusion matrix of {result} on the test images, in per cent of the true class.",
    ),
    "samples": _Drawing(
        lambda facts: len(facts.strips) > 1,
        _samples,
        "Training images and what each transform makes of them; generated images above the training images nearest to "
        "them.",
    ),
    "mistakes": _Drawing(
        lambda facts: len(shown_result(facts).mistakes) > 0,
        _mistakes,
        "The test images that {result} gets wrong most confidently, true → predicted.",
    ),
    "attributions": _Drawing(
        lambda facts: bool(facts.attributions),
        _attributions,
        "The pixels that supported a prediction (orange) or opposed it (blue), by each method.",
    ),
}


def _png(image: Image.Image) -> bytes:
    """A PNG of at most MOST_BYTES: as it is or, where needed, with a palette of fewer colours, or of fewer pixels."""
    palettes = iter(PALETTES)
    kept = image
    while True:
        buffer = io.BytesIO()
        kept.save(buffer, format="PNG", optimize=True)
        if buffer.tell() <= MOST_BYTES:
            return buffer.getvalue()
        if colours := next(palettes, 0):
            kept = image.quantize(colours, dither=Image.Dither.NONE)
        else:
            image = image.reduce(2)
            kept, palettes = image, iter(PALETTES)

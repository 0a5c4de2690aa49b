"""The changes of the first metric between two revisions as a PNG, for where no page can be shown: a pull request."""

import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory
from PIL import Image

from touchstone.evaluation.metrics import named
from touchstone.report.forest import axis_over
from touchstone.report.words import points
from touchstone.studies.revision_text import means, primary, short
from touchstone.studies.revisions import Change, RevisionComparison

WIDTH, ROW, TOP, BOTTOM = 8.0, 0.27, 0.42, 0.52  # inches: the chart's width, a row, the title, the axis
DPI = 160  # 1280 px wide, for screens that show two pixels for one
MOST_ROWS = 16  # the size of a PNG grows with its rows; of more, those with a verdict come first
NAME_LENGTH = 24  # characters of a run's name
LEFT, RIGHT = 0.365, 0.615  # ends of the axis; positions are in widths of the chart
SHADES = 12  # of each colour towards white, for smooth edges: a palette takes a third of the bytes
INK, SOFT, LINE = "#1d2126", "#5a636d", "#dcdfe1"
STYLES = {
    "better": ("#1f5fa8", "o"),
    "worse": ("#b3480a", "s"),
}  # told apart by shape and hue, also without red or green
OTHER = ("#646b73", "D")


def chart(comparison: RevisionComparison) -> bytes:
    """A PNG on white, a row a run: before and after, the change with its interval, the verdict in words.

    Where nothing changed, it says so. Equal comparisons give equal bytes.
    """
    every = primary(comparison)
    changes = every
    if len(every) > MOST_ROWS:
        changes = sorted(every, key=lambda change: change.verdict not in STYLES)[:MOST_ROWS]
    with mpl.rc_context({"text.parse_math": False, "font.size": 9}):
        height = TOP + ROW * len(changes) + BOTTOM if changes else 0.7
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
        title = f"{short(comparison.after)} compared with {short(comparison.before)}"
        if len(changes) < len(every):
            title += f": {len(changes)} of the {len(every)} that changed"
        figure.text(0.012, 1 - 0.2 / height, title, va="center", weight="bold", color=INK)
        if changes:
            _draw(figure, changes, comparison.confidence)
        else:
            figure.text(0.012, 0.25, "No prediction differs.", va="center", color=INK)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    small = io.BytesIO()
    image = Image.open(buffer).convert("RGB").quantize(palette=_palette(), dither=Image.Dither.NONE)
    image.save(small, "PNG", optimize=True)
    return small.getvalue()


def _palette() -> Image.Image:
    """White and the colours of the chart in their shades. Colours chosen by frequency would lose a rare verdict's."""
    full = np.array([to_rgb(colour) for colour in (INK, SOFT, OTHER[0], *(style[0] for style in STYLES.values()))])
    weights = np.linspace(1, 0, SHADES)[:, None, None]
    shades = weights * full + (1 - weights)  # (SHADES, colours, 3)
    colours = np.concatenate([shades.reshape(-1, 3), [to_rgb(LINE)]])
    palette = Image.new("P", (1, 1))
    palette.putpalette((255 * colours).round().astype(np.uint8).tobytes())
    return palette


def save(comparison: RevisionComparison, file: Path) -> None:
    """Write the chart, in one step."""
    new = file.with_name(f".{file.name}.new")
    new.write_bytes(chart(comparison))
    new.replace(file)


def _draw(figure: Figure, changes: list[Change], confidence: float) -> None:
    height = figure.get_figheight()
    axes = figure.add_axes((LEFT, BOTTOM / height, RIGHT - LEFT, ROW * len(changes) / height))
    axis = axis_over([end for change in changes for end in (change.low, change.high)])
    axes.set_xlim(0, 100)  # the units of Axis.place
    axes.set_ylim(len(changes) - 0.5, -0.5)
    axes.axvline(axis.place(0), color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)))
    across = blended_transform_factory(figure.transFigure, axes.transData)  # (position in the chart, row)
    for row, change in enumerate(changes):
        colour, marker = STYLES.get(change.verdict, OTHER)
        before, after, difference = means(change)
        run = change.run if len(change.run) <= NAME_LENGTH else f"{change.run[: NAME_LENGTH - 1]}…"
        interval = f"{points(change.low)} to {points(change.high)}"
        for at, text, shade, side in (
            (0.012, run, INK, "left"),
            (LEFT - 0.01, f"{before} → {after}", SOFT, "right"),
            (0.682, difference, INK, "right"),
            (0.822, interval, SOFT, "right"),
        ):
            axes.text(at, row, text, transform=across, va="center", ha=side, color=shade)
        axes.text(0.835, row, change.verdict, transform=across, va="center", color=colour, weight="bold")
        ends = [axis.place(change.low), axis.place(change.high)]
        axes.plot(ends, [row, row], color=colour, linewidth=1.6, solid_capstyle="butt")
        filled = colour if change.verdict in STYLES else "white"
        value = axis.place(change.after - change.before)
        axes.plot([value], [row], marker, color=colour, markerfacecolor=filled, markersize=5.5)
        if row:
            axes.axhline(row - 0.5, color=LINE, linewidth=0.5, zorder=0)
    label = f"change of {named(changes[0].metric).name} in percentage points, with {100 * confidence:g} % interval"
    axes.set_xlabel(label, color=SOFT, fontsize=8)
    axes.set_xticks([at for at, _ in axis.ticks], [text for _, text in axis.ticks], fontsize=8, color=SOFT)
    axes.set_yticks([])
    axes.tick_params(color=LINE, length=3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)

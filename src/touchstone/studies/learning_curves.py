"""Accuracy against the number of real training images, a line an arm; and how many real images an addition is worth.

Of a sweep over `data.train_size` (sweep.py): what else was swept makes lines of its own where it makes a difference.
"""

import math
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from touchstone.errors import TouchstoneError

SIZE = "data.train_size"
COLOURS = ("#5a636d", "#1f6fa8", "#b0620a", "#6d4fa3", "#14807a", "#a33c6e")
DASHES = ("-", "--", ":", "-.")


def lines(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """A sweep's table -> line -> its rows, by the number of real images.

    A run that is the same for all values of another swept parameter is one line, `<run>`; otherwise there is one for
    each value, `<run>, <key> <value>`. Baselines come first.

    Raises TouchstoneError where the sweep was not over data.train_size, or took all images (0), however many those are.
    """
    if SIZE not in table:
        raise TouchstoneError(f"a learning curve wants a sweep over {SIZE}; got {', '.join(map(str, table.columns))}")
    if (table[SIZE] == 0).any():
        raise TouchstoneError(f"a learning curve wants numbers of images: {SIZE} 0 is all there are; name how many")
    keys = list(table.columns[1 : list(table.columns).index("run")])
    others = [key for key in keys if key != SIZE]
    found = {}
    for run, part in table.groupby("run", sort=False):
        same = not others or part.groupby(SIZE)[_key(table)].nunique().max() == 1
        groups = [("", part.drop_duplicates(SIZE))] if same else part.groupby(others, sort=False)
        for values, rows in groups:
            named = [f"{key.rsplit('.', 1)[-1]} {value}" for key, value in zip(others, values, strict=False)]
            found[", ".join([str(run), *named])] = rows.sort_values(SIZE).reset_index(drop=True)
    alone = {name: line for name, line in found.items() if (line["gain"].astype(str) == "").all()}
    return alone | found


def worth(table: pd.DataFrame) -> pd.DataFrame:
    """line, images, gain, equal, low, high: with how many real images alone the baseline's own curve is as good.

    The curve is the baseline run's, made monotone and read between its points on a logarithmic axis; low and high are
    those of the gain's interval. Infinite beyond its last point, 0 below its first.
    """
    curves, key = lines(table), _key(table)
    rows = []
    for name, line in curves.items():
        run = str(line["run"].iloc[0])
        compared = line[line["gain"].astype(str) != ""]
        base = curves.get(_baseline(table, run))
        if base is None:
            continue
        sizes, scores = base[SIZE].to_numpy(float), np.maximum.accumulate(base[key].to_numpy(float))
        for row in compared.to_dict("records"):
            size = float(row[SIZE])
            start = float(base.loc[base[SIZE] == row[SIZE], key].iloc[0])
            gain, low, high = (float(row[column]) for column in ("gain", "gain_low", "gain_high"))
            equal = [_equal(start + value, sizes, scores) for value in (gain, low, high)]
            rows.append([name, int(size), gain, *equal])
    return pd.DataFrame(rows, columns=["line", "images", "gain", "equal", "low", "high"])


def drawn(table: pd.DataFrame) -> Figure:
    """The curves, with the intervals of each accuracy as bands; beneath them the gains over the baseline with theirs.

    Both on a logarithmic axis of real images. Gains are paired, and known far better than what they are differences of.
    """
    figure = Figure(figsize=(7.2, 7.2), dpi=110, layout="constrained")
    curves, gains = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    key = _key(table)
    for number, (name, line) in enumerate(lines(table).items()):
        style = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}
        x, columns = line[SIZE].to_numpy(float), (key, f"{key}_low", f"{key}_high")
        y, low, high = (100 * line[column].to_numpy(float) for column in columns)
        curves.plot(x, y, marker="o", markersize=3.5, label=name, **style)
        curves.fill_between(x, low, high, color=style["color"], alpha=0.07, linewidth=0)
        if (line["gain"].astype(str) == "").all():
            continue
        told = ("gain", "gain_low", "gain_high")  # "" where training diverged: nothing is drawn there
        y, low, high = (100 * pd.to_numeric(line[column], errors="coerce").to_numpy(float) for column in told)
        aside = x * 1.02 ** (number - 2)  # so that bars do not hide one another
        gains.errorbar(aside, y, [y - low, high - y], marker="o", markersize=3.5, capsize=2, linewidth=1.2, **style)
    gains.axhline(0, color=COLOURS[0], linewidth=0.8)
    gains.set_ylabel("gain over the baseline, points")
    curves.set_ylabel("test accuracy, %" if key == "accuracy" else "mean average precision, %")
    curves.legend(frameon=False)
    _dressed([curves, gains], sorted(table[SIZE].unique()))
    return figure


def _dressed(every: list[Axes], sizes: list[int]) -> None:
    for axes in every:
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    every[-1].set_xlabel("real training images")


def save(table: pd.DataFrame, file: Path) -> None:
    """Write the figure as a PNG with stable bytes."""
    drawn(table).savefig(file, metadata={"Software": None})


def _key(table: pd.DataFrame) -> str:
    return "map" if "map" in table else "accuracy"


def _baseline(table: pd.DataFrame, run: str) -> str:
    """The run of the same model that is compared with nothing."""
    alone = table.loc[table["gain"].astype(str) == "", "run"].unique()
    return next((str(name) for name in alone if str(name).rsplit("-", 1)[0] == run.rsplit("-", 1)[0]), "")


def _equal(score: float, sizes: np.ndarray, scores: np.ndarray) -> float:
    """How many real images reach `score`."""
    if score > scores[-1]:
        return math.inf
    if score < scores[0]:
        return 0.0
    after = int(np.searchsorted(scores, score))
    if scores[after] == score:
        return float(sizes[after])
    share = (score - scores[after - 1]) / (scores[after] - scores[after - 1])
    return float(np.exp(np.interp(share, [0, 1], np.log(sizes[after - 1 : after + 1]))))

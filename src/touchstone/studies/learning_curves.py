"""Learning curves of a sweep over `data.train_size`, a curve for each run, and how many real images an arm is worth."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats
from sklearn.isotonic import isotonic_regression

from touchstone.errors import TouchstoneError
from touchstone.evaluation.metrics import primary_key
from touchstone.seeds import generator

SIZE = "data.train_size"
DRAWS = 2000
COLOURS = ("#5a636d", "#1f6fa8", "#b0620a", "#6d4fa3", "#14807a", "#a33c6e")
DASHES = ("-", "--", ":", "-.")


def curves_of(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Name of each curve -> its rows of a sweep's table, sorted by the number of real images. Baselines come first.

    A run whose results are the same for all values of the other swept parameters is one curve, `<run>`; otherwise each
    value has its own, `<run>, <key> <value>`. Raise TouchstoneError where the sweep is not over data.train_size, or
    includes 0, which stands for all images.
    """
    if SIZE not in table:
        raise TouchstoneError(f"a learning curve needs a sweep over {SIZE}; got {', '.join(map(str, table.columns))}")
    if (table[SIZE] == 0).any():
        raise TouchstoneError(f"a learning curve needs numbers of images: {SIZE} 0 means all of them; write how many")
    swept = list(table.columns[1 : list(table.columns).index("run")])
    others = [key for key in swept if key != SIZE]
    curves = {}
    for run, rows in table.groupby("run", sort=False):
        same = not others or rows.groupby(SIZE)[primary_key(table)].nunique().max() == 1
        groups = [("", rows.drop_duplicates(SIZE))] if same else rows.groupby(others, sort=False)
        for values, curve in groups:
            suffixes = [f"{key.rsplit('.', 1)[-1]} {value}" for key, value in zip(others, values, strict=False)]
            curves[", ".join([str(run), *suffixes])] = curve.sort_values(SIZE).reset_index(drop=True)
    baselines = {name: curve for name, curve in curves.items() if not _compared(curve).any()}
    return baselines | curves


def equivalent_images(table: pd.DataFrame) -> pd.DataFrame:
    """Estimate how many real images the baseline alone needs to equal each arm, at each number of real images.

    Columns: line (the curve's name), images, gain, equal (that number), low and high (its 95 % interval). The number
    is read from the baseline's curve, interpolated on a logarithmic axis; it is infinite above the curve's last point
    and 0 below its first. Both curves are made monotone by isotonic regression (pool adjacent violators). The interval
    is over DRAWS of both: the baseline's scores and the gains, normal with the widths of their own intervals.
    """
    curves, key = curves_of(table), primary_key(table)
    out: list[tuple[object, ...]] = []
    for name, curve in curves.items():
        baseline = curves.get(_baseline(table, str(curve["run"].iloc[0])))
        rows = curve[_compared(curve)]
        if baseline is None or rows.empty:
            continue
        sizes, at = baseline[SIZE].to_numpy(float), np.searchsorted(baseline[SIZE], rows[SIZE])
        rng = generator(0, "learning curve", name)
        scores, gains = (_draws(part, column, rng) for part, column in ((baseline, key), (rows, "gain")))
        arms = _monotone(scores[:, at] + gains)
        equal = np.array(
            [
                [_size_at(value, sizes, curve) for value in arm]
                for arm, curve in zip(arms, _monotone(scores), strict=True)
            ]
        )
        low, high = np.quantile(equal[1:], [0.025, 0.975], axis=0, method="inverted_cdf")
        out += zip([name] * len(rows), rows[SIZE], gains[0], equal[0], low, high, strict=True)
    return pd.DataFrame(out, columns=["line", "images", "gain", "equal", "low", "high"])


def _draws(rows: pd.DataFrame, key: str, rng: np.random.Generator) -> np.ndarray:
    """The values of a column, then DRAWS of them within their intervals, float64 (1 + DRAWS, rows)."""
    values, low, high = (rows[column].to_numpy(float) for column in (key, f"{key}_low", f"{key}_high"))
    noise = rng.normal(size=(DRAWS, len(rows))) * (high - low) / (2 * stats.norm.ppf(0.975))
    return values + np.concatenate([np.zeros((1, len(rows))), noise])


def _monotone(curves: np.ndarray) -> np.ndarray:
    """Each of the curves (..., M) as the nearest one that never falls."""
    return np.array([isotonic_regression(curve) for curve in curves]).reshape(curves.shape)


def figure_of(table: pd.DataFrame) -> Figure:
    """The curves with their intervals as bands; below them the gains over the baseline.

    Gains are paired differences: their intervals are much narrower than those of the scores.
    """
    figure = Figure(figsize=(7.2, 7.2), dpi=110, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    key = primary_key(table)
    for number, (name, curve) in enumerate(curves_of(table).items()):
        style = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}
        x, columns = curve[SIZE].to_numpy(float), (key, f"{key}_low", f"{key}_high")
        y, low, high = (100 * curve[column].to_numpy(float) for column in columns)
        upper.plot(x, y, marker="o", markersize=3.5, label=name, **style)
        upper.fill_between(x, low, high, color=style["color"], alpha=0.07, linewidth=0)
        if not _compared(curve).any():
            continue
        columns = ("gain", "gain_low", "gain_high")  # "" where training diverged: nothing is drawn there
        y, low, high = (100 * pd.to_numeric(curve[column], errors="coerce").to_numpy(float) for column in columns)
        shifted = x * 1.02 ** (number - 2)  # error bars side by side
        lower.errorbar(shifted, y, [y - low, high - y], marker="o", markersize=3.5, capsize=2, linewidth=1.2, **style)
    lower.axhline(0, color=COLOURS[0], linewidth=0.8)
    lower.set_ylabel("gain over the baseline, points")
    upper.set_ylabel("test accuracy, %" if key == "accuracy" else "mean average precision, %")
    upper.legend(frameon=False)
    sizes = sorted(table[SIZE].unique())
    for axes in (upper, lower):
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    lower.set_xlabel("real training images")
    return figure


def save(table: pd.DataFrame, file: Path) -> None:
    """Write the figure as a PNG; equal tables give equal bytes."""
    figure_of(table).savefig(file, metadata={"Software": None})


def _compared(rows: pd.DataFrame) -> pd.Series:
    """Select the rows that have a gain: those of a run that is compared with a baseline and did not diverge."""
    return rows["gain"].astype(str) != ""


def _baseline(table: pd.DataFrame, run: str) -> str:
    """The run of the same model that is compared with nothing; "" where there is none."""
    baselines = map(str, table.loc[~_compared(table), "run"].unique())
    return next((name for name in baselines if name.rsplit("-", 1)[0] == run.rsplit("-", 1)[0]), "")


def _size_at(score: float, sizes: np.ndarray, scores: np.ndarray) -> float:
    """The number of images at which a rising curve of `scores` (M,) over `sizes` (M,) reaches `score`."""
    if score > scores[-1]:
        return math.inf
    if score < scores[0]:
        return 0.0
    after = int(np.searchsorted(scores, score))
    if scores[after] == score:
        return float(sizes[after])
    share = (score - scores[after - 1]) / (scores[after] - scores[after - 1])
    return float(np.exp(np.interp(share, [0, 1], np.log(sizes[after - 1 : after + 1]))))

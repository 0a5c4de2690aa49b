"""Learning curves of a sweep: which curves there are, and how many real images an arm is worth."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from touchstone.errors import TouchstoneError
from touchstone.studies.learning_curves import curves_of, equivalent_images, figure_of, save
from touchstone.studies.quotes import quoted

REAL = {50: 0.7, 100: 0.8, 200: 0.9}


def table() -> pd.DataFrame:
    """`real` is the same for both ratios; `made` gains 0.05 or 0.15, and is above the curve at 200 images."""
    rows = []
    for ratio, gain in ((0.5, 0.05), (1.0, 0.15)):
        for size, accuracy in REAL.items():
            base = {"experiment": f"n-{ratio}-{size}", "arms.made.ratio": ratio, "data.train_size": size}
            ends = {"accuracy_low": accuracy - 0.02, "accuracy_high": accuracy + 0.02}
            empty = dict.fromkeys(("gain", "gain_low", "gain_high", "verdict", "diverged"), "")
            rows.append({**base, "run": "lenet-real", "accuracy": accuracy, "accuracy_sd": 0.01, **ends, **empty})
            compared = {
                "gain": gain,
                "gain_low": gain - 0.1,
                "gain_high": gain + 0.02,
                "verdict": "helps",
                "diverged": "",
            }
            ends = {key: value + gain for key, value in ends.items()}
            rows.append(
                {**base, "run": "lenet-made", "accuracy": accuracy + gain, "accuracy_sd": 0.01, **ends, **compared}
            )
    columns = [key for key in rows[0] if key != "run"]
    return pd.DataFrame(rows)[[*columns[:3], "run", *columns[3:]]]


def test_a_run_that_is_the_same_for_all_values_is_one_line() -> None:
    found = curves_of(table())
    assert list(found) == ["lenet-real", "lenet-made, ratio 0.5", "lenet-made, ratio 1.0"]
    assert [line["data.train_size"].tolist() for line in found.values()] == [[50, 100, 200]] * 3


def test_worth_reads_the_baselines_curve_on_a_logarithmic_axis() -> None:
    found = equivalent_images(table()).set_index(["line", "images"])
    half = found.loc["lenet-made, ratio 0.5"]
    assert half.loc[50, "equal"] == pytest.approx(50 * math.sqrt(2)), "0.75 is half way from 50 to 100"
    assert half.loc[50, "low"] == 0, "0.69 is below the curve"
    assert 50 < half.loc[100, "low"] < half.loc[100, "equal"] < half.loc[100, "high"]
    assert half.loc[200, "equal"] == math.inf
    assert found.loc[("lenet-made, ratio 1.0", 50), "equal"] == pytest.approx(100 * math.sqrt(2))


def test_curves_that_fall_are_made_monotone() -> None:
    changed = table()
    changed.loc[(changed["run"] == "lenet-real") & (changed["data.train_size"] == 100), "accuracy"] = 0.6
    found = equivalent_images(changed).set_index(["line", "images"])
    assert found.loc[("lenet-made, ratio 0.5", 50), "equal"] == pytest.approx(100 * 2**0.2), (
        "the baseline is .65, .65, .9 and the arm .7, .7, .95: a fifth of the way from 100 to 200"
    )


def test_the_interval_covers_the_gain_and_the_baselines_curve() -> None:
    widths = []
    for half in (0.0, 0.02):  # of the scores' intervals; those of the gains are 2 points to either side
        rows = table()
        rows["accuracy_low"], rows["accuracy_high"] = rows["accuracy"] - half, rows["accuracy"] + half
        arms = rows["run"] == "lenet-made"
        rows.loc[arms, "gain_low"], rows.loc[arms, "gain_high"] = (rows.loc[arms, "gain"] + d for d in (-0.02, 0.02))
        found = equivalent_images(rows).set_index(["line", "images"]).loc[("lenet-made, ratio 0.5", 100)]
        widths.append(math.log(found["high"] / found["low"]))
    assert widths[0] == pytest.approx(0.04 * math.log(2) / 0.1, rel=0.08), "a doubling of images is worth 10 points"
    assert widths[1] > 1.05 * widths[0]
    assert equivalent_images(table()).equals(equivalent_images(table())), "the draws have a seed"


def test_other_sweeps_have_no_learning_curve() -> None:
    with pytest.raises(TouchstoneError, match=r"needs a sweep over data\.train_size"):
        curves_of(table().drop(columns="data.train_size"))


def test_the_figure_has_a_line_with_its_band_for_each_and_stable_bytes(tmp_path: Path) -> None:
    axes = figure_of(table()).axes[0]
    assert [line.get_label() for line in axes.lines] == list(curves_of(table()))
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [70, 80, 90])
    assert len(axes.collections) == 3
    gains = figure_of(table()).axes[1]
    assert len(gains.containers) == 2, "one for each arm, with error bars"
    assert axes.get_xscale() == "log"
    for name in ("a.png", "b.png"):
        save(table(), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_docs_quote_what_an_arm_is_worth(tmp_path: Path) -> None:
    table().to_csv(tmp_path / "experiments.csv", index=False)
    text = quoted("<!-- worth from experiments.csv -->\n<!-- end -->\n", tmp_path)
    assert "| lenet-made, ratio 0.5 | 50 | +5.00 | 71 | fewer than 50 to 1" in text
    assert "| lenet-made, ratio 0.5 | 200 | +5.00 | more than 200 | 1" in text


def test_a_run_that_diverged_has_no_gain_and_the_rest_is_drawn(tmp_path: Path) -> None:
    found = table()
    row = found.index[found["run"] == "lenet-made"][1]
    found.loc[row, ["gain", "gain_low", "gain_high"]] = ""
    found.loc[row, "verdict"] = "diverged"
    save(found, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 10_000
    assert len(equivalent_images(found)) == len(equivalent_images(table())) - 1


def test_0_for_all_images_is_refused() -> None:
    with pytest.raises(TouchstoneError, match=r"data.train_size 0 means all of them; write how many"):
        curves_of(table().replace({"data.train_size": {200: 0}}))

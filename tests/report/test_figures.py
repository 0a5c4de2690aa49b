"""The figures beside report.md: which there are, that their bytes are stable and few, and whose mistakes they show."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kit.report import with_settings
from touchstone.report import figures as drawings
from touchstone.report.facts import Facts
from touchstone.report.figures import MOST_BYTES, figures, page, shown_result


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def test_every_figure_is_small_has_stable_bytes_and_stands_on_the_page(facts: Facts) -> None:
    drawn = figures(facts)
    assert list(drawn) == ["gains", "curves", "confusion", "samples", "mistakes", "attributions"]
    assert figures(facts) == drawn
    text = page(facts)
    for name, png in drawn.items():
        assert len(png) <= MOST_BYTES
        assert opened(png).format == "PNG"
        assert not opened(png).info, "no date, no version"
        assert len(np.unique(np.asarray(opened(png).convert("L")))) > 1, f"{name} is not blank"
        assert f"![]({name}.png)" in text
    assert text.count("![") == len(drawn)


def test_what_there_is_nothing_of_has_no_figure(facts: Facts) -> None:
    bare = replace(facts, attributions={}, curves={}, strips={}, results=facts.results[:1])
    assert "gain" not in bare.results[0].scores
    assert set(figures(bare)) <= {"confusion", "mistakes"}
    assert "gains.png" not in page(bare)


@pytest.mark.filterwarnings("error")
def test_curves_without_validation_fill_the_figure_and_are_named(bare: Facts) -> None:
    assert bare.findings["num_val"] == 0
    drawn = np.asarray(opened(figures(bare)["curves"]).convert("L"))
    columns = np.flatnonzero((drawn < 250).any(0))
    assert columns.max() > 0.95 * drawn.shape[1], "nothing is left empty at the right"


@pytest.mark.parametrize("arms", [("real",), ("real", "more")])
def test_each_model_of_many_has_its_curve_or_the_page_says_which_have_none(facts: Facts, arms: tuple[str, ...]) -> None:
    settings = facts.settings
    many = {f"net{number}": settings.models["lenet"] for number in range(9)}
    kept = {arm: settings.arms[arm] for arm in arms}
    curve = pd.DataFrame({"step": [1, 2], "train_loss": [2.0, 1.0]})
    curves = {f"{model}-{arm}": curve * (1 + number) for number, model in enumerate(many) for arm in arms}
    several = replace(with_settings(facts, models=many, finetunes={}, arms=kept), curves=curves)
    if len(arms) == 1:
        [panel] = drawings._panels(several)
        assert list(panel.lines) == list(many), "one row, with a line for each model"
        assert len({str(colour) for colour in drawings._colours(len(panel.lines))}) == len(many)
        assert "first 6" not in page(several)
    else:
        assert [panel.name for panel in drawings._panels(several)] == list(many)
        assert "Of 9 models, the first 6 are shown." in page(several)
    assert opened(figures(several)["curves"]).height == (340 if len(arms) == 1 else 6 * 250)


def test_the_best_on_validation_is_shown_whatever_it_scores_on_test(facts: Facts) -> None:
    first, second, *others = facts.results
    scored = [replace(one, scores={**one.scores, "val_accuracy": 0.5, "accuracy": 0.99}) for one in (first, *others)]
    best = replace(second, scores={**second.scores, "val_accuracy": 0.9, "accuracy": 0.1})
    assert shown_result(replace(facts, results=(*scored, best))).name == second.name
    without = [replace(one, scores={k: v for k, v in one.scores.items() if k != "val_accuracy"}) for one in scored]
    assert shown_result(replace(facts, results=tuple(without))).name == first.name


def test_a_large_picture_loses_colours_and_pixels_until_it_is_small() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8))
    png = drawings._png(noise)
    assert len(png) <= MOST_BYTES
    assert 200 <= opened(png).width < 900

"""A probe has no learning curves: the report shows each C and its cross-validated log loss instead."""

from dataclasses import replace

import pandas as pd
import pytest

from kit.report import with_settings
from touchstone.config.load import resolve_model
from touchstone.config.schema.model import Model
from touchstone.config.schema.probe import Probe
from touchstone.report import advice, pages, probes, sentences, tuning
from touchstone.report.facts import Facts
from touchstone.report.models import models


def probe(**changes) -> Model:
    settings = {"net": "lenet", "input_size": 8, "epochs": 1, "trainable": ("head",), "select": "last"}
    return resolve_model(settings | {"weights": "imagenet", "probe": Probe()} | changes)


@pytest.fixture
def probed(facts: Facts) -> Facts:
    """The facts of a run whose model is a probe, with two replicates."""
    real = pd.DataFrame({"C": [0.01, 0.1, 1.0], "log_loss": [0.9, 0.4, 0.5], "accuracy": [0.5, 0.875, 0.8]})
    more = real.iloc[:2].assign(chosen=[1.0, 0.0])
    tried = {"lenet-real": real.assign(chosen=[0.0, 0.5, 0.5]), "lenet-more": more}
    bare = with_settings(facts, models={"lenet": probe()}, finetunes={})
    return replace(bare, curves={}, probes=tried, published={"lenet": "ImageNet's"})


def test_the_page_has_each_c_in_place_of_curves(probed: Facts) -> None:
    page, twin = pages.html(probed), pages.markdown(probed)
    for text in (page, twin):
        assert "A linear probe: its head was fitted by logistic regression on frozen features" in text
        assert "in 5-fold cross-validation, the mean over the replicates" in text
    section = page[page.index('id="curves"') : page.index('id="sheets"')]
    assert "Cross-validated log loss" in section
    assert "Ringed: real: 0.1, chosen; more: 0.01, chosen." in section
    assert "| 0.1 | 0.400 | 87.5 | 1 of 2 replicates | 0.400 | 87.5 |  |" in twin


def test_the_chosen_c_is_ringed_where_its_point_is(probed: Facts) -> None:
    loss, accuracy = probes.charts(probed, "lenet")
    for chart in (loss, accuracy):
        (real, _, _), (more, _, _) = chart.marks
        assert real == pytest.approx(150, abs=0.01), "C .1 is halfway from .01 to 1"
        assert more == pytest.approx(0, abs=0.01)


def test_a_c_that_an_arm_did_not_try_has_a_dash(probed: Facts) -> None:
    table = probes.table(probed, "lenet")
    parts = "log loss", "accuracy, %", "chosen by"
    assert table.header == ["C", *(f"{arm}: {part}" for arm in ("real", "more") for part in parts)]
    assert table.rows[2] == ["1", "0.500", "80.0", "1 of 2 replicates", "–", "–", ""]


def test_a_given_c_has_neither_chart_nor_table(probed: Facts) -> None:
    given = with_settings(probed, models={"lenet": probe(probe=Probe(C=0.5))}, finetunes={})
    one = pd.DataFrame({"C": [0.5], "chosen": [1.0]})
    given = replace(given, probes={"lenet-real": one, "lenet-more": one})
    assert probes.charts(given, "lenet") == []
    assert probes.table(given, "lenet").rows == []
    assert "with C 0.5 as params.yaml gives it" in pages.html(given)
    assert tuning.about(given.settings) == ""


def test_the_table_of_models_names_no_steps(probed: Facts) -> None:
    table = models(probed)
    [row] = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    assert (row["trained"], row["optimizer"], row["budget"]) == ("head", "L-BFGS", "none")
    assert row["selected by"] == "C by 5-fold cross-validation"


def test_a_probe_is_no_untuned_baseline(probed: Facts) -> None:
    text = tuning.about(probed.settings)
    assert text.startswith("The C of each run of lenet, including the baseline, was chosen by cross-validation")
    assert "untuned" not in text
    steps = ["".join(part.text for part in step) for step in advice.next_steps(probed)]
    assert not any("budget: tuned" in step or "trainable" in step for step in steps)
    assert any(step.startswith("Train lenet by steps, too") for step in steps)


def test_a_single_replicate_of_probes_is_told_to_draw_images(probed: Facts) -> None:
    one = probed.settings.train.model_copy(update={"replicates": 1})
    alone = with_settings(probed, train=one)
    steps = ["".join(part.text for part in step) for step in advice.next_steps(alone)]
    assert any(step.startswith("Draw training images anew for each replicate") for step in steps)
    assert not any(step.startswith("Repeat each run") for step in steps)


def test_equal_replicates_of_a_probe_are_named(probed: Facts) -> None:
    assert probed.settings.train.vary == "seed"
    assert "The 2 replicates of lenet are the same" in sentences.caveat(probed.settings)
    drawn = with_settings(probed, train=probed.settings.train.model_copy(update={"vary": "all"}))
    assert "are the same" not in sentences.caveat(drawn.settings)
    stepped = with_settings(probed, models={"lenet": probe(probe=None)})
    assert "are the same" not in sentences.caveat(stepped.settings)

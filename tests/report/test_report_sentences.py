"""Verdicts as sentences, for every grouping of arms and models."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kit.report import facts_of, spoken, with_settings, workspace
from touchstone.config.load import resolve_model
from touchstone.config.schema.data import Arm, Transform
from touchstone.report import charts, pages, sentences, words
from touchstone.report.facts import Facts
from touchstone.report.forest import forest
from touchstone.report.headline import headline
from touchstone.report.models import models


def model(**settings: object):
    return resolve_model({"net": "lenet", "input_size": 8} | ({"num_steps": 3} | settings))


def judged(facts: Facts, arms: dict[str, Arm] | None = None, **scores: str | dict) -> Facts:
    """Facts of models and arms with these verdicts or scores: model__arm=verdict. Arms add tilt, unless given."""
    entries = {
        name.replace("__", "-"): {"verdict": value} if isinstance(value, str) else value
        for name, value in scores.items()
    }
    names, arm_names = (list(dict.fromkeys(name.split("-")[i] for name in entries)) for i in (0, 1))
    blank = facts.result("lenet-more")
    results = tuple(
        replace(blank, name=name, model=name.split("-")[0], arm=name.split("-")[1], scores=entry)
        for name, entry in entries.items()
    )
    settings = {
        "arms": {"real": Arm()} | {name: Arm(add=("tilt",)) for name in arm_names} | (arms or {}),
        "models": {name: model() for name in names},
    }
    return replace(with_settings(facts, **settings), results=results)


def test_the_headline_groups_arms_that_do_the_same(facts: Facts) -> None:
    found = judged(facts, a__x="helps", b__x="helps", a__y="helps", b__y="helps", a__z="inconclusive", b__z="helps")
    assert spoken(headline(found)) == (
        "Adding x or y images improves both models over real images alone; adding z images improves b. "
        "This holds for these training images."
    )
    found = judged(facts, a__x="hurts", a__y={"verdict": "diverged", "diverged": "1 of 2 seeds"}, a__z="inconclusive")
    text = "Adding x images worsens a compared with real images alone; z is inconclusive; y diverged."
    assert spoken(headline(found)) == f"{text} This holds for these training images."
    found = judged(facts, a__x="hurts", b__x="helps", a__y="inconclusive", b__y="inconclusive")
    assert spoken(headline(found)) == (
        "Adding x images improves b over real images alone; adding x images worsens a; y is inconclusive. "
        "This holds for these training images."
    )
    styles = [fragment.style for fragment in headline(found) if fragment.style]
    assert styles == ["name", "helps", "name", "hurts", "name", "inconclusive"]


def test_the_headline_says_what_is_compared_where_arms_do_more_than_add(facts: Facts) -> None:
    only = {"only": Arm(add=("tilt",), real=False)}
    found = judged(facts, only, a__x="helps", a__only="helps")
    assert spoken(headline(found)) == (
        "Adding x images improves a over real images alone; training on only improves a. "
        "This holds for these training images."
    )
    base = {"real": Arm(add=("tilt",))}
    found = judged(facts, base, a__x="hurts")
    assert spoken(headline(found)) == (
        "Training on x worsens a compared with the baseline, real. This holds for these training images."
    )


@pytest.mark.parametrize(
    ("gains", "text"),
    [
        ((0.048, 0.0484), "No verdict on x: only gains above 4.8 points could have been detected."),
        (
            (0.02, 0.0623),
            "No verdict on x: only gains above 2.0 to 6.2 points, depending on the run, could have been detected.",
        ),
        ((np.nan, np.nan), "No verdict on x: no gain, however large, could have been detected."),
    ],
)
def test_without_a_verdict_the_headline_says_what_could_have_been_detected(facts: Facts, gains, text: str) -> None:
    scores = [{"verdict": "inconclusive", "gain_detectable": gain} for gain in gains]
    found = judged(facts, a__x=scores[0], b__x=scores[1])
    assert spoken(headline(found)) == f"{text} A verdict would hold for these training images."
    failed = {"verdict": "diverged", "diverged": "1 of 2 seeds"}
    also = judged(facts, a__x=scores[0], b__x=scores[1], a__y=failed, b__y=failed)
    assert spoken(headline(also)) == f"{text[:-1]}; y diverged. A verdict would hold for these training images."


def test_where_nothing_could_be_compared_the_headline_says_why(facts: Facts) -> None:
    found = judged(facts, a__x="diverged", a__y={"verdict": "diverged", "diverged": "1 of 2 seeds"})
    assert spoken(headline(found)) == "y diverged; x cannot be compared where the baseline diverged."
    assert headline(judged(facts, a__real={})) == []


def test_each_verdict_is_worded_and_grouped(facts: Facts) -> None:
    effect = {"gain": -0.01, "gain_low": -0.02, "gain_high": 0.0}
    found = judged(
        facts,
        a__x=effect | {"verdict": "inconclusive", "gain_detectable": 0.03},
        b__x=effect | {"verdict": "hurts"},
        c__x=effect | {"verdict": "helps"},
        d__x=effect | {"verdict": "helps"},
        e__x={"verdict": "diverged", "diverged": "1 of 2 seeds"},
        f__x={"verdict": "diverged"},
    )
    [sentence] = sentences.arm_sentences(found)
    assert spoken(sentence) == (
        "x helps c (−1.00 points, 95 % interval −2.00 to 0.00) and d (−1.00, −2.00 to 0.00)"
        "; hurts b (−1.00, −2.00 to 0.00); is inconclusive for a (−1.00, −2.00 to 0.00, detectable gain 3.0)"
        "; diverged for e (1 of 2 seeds); cannot be compared for f, because the baseline diverged."
    )


def test_numbers() -> None:
    gains = (0.02957, -0.005, 0.0, -0.00001, np.nan)
    assert [words.points(gain) for gain in gains] == ["+2.96", "−0.50", "0.00", "0.00", "–"]
    assert [words.listing(list(items)) for items in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
    assert words.count(1, "image") == "1 image"
    assert words.count(1797, "class", "classes") == "1,797 classes"


def test_plain_copies_that_seem_to_help_are_reported_as_a_failed_control(facts: Facts) -> None:
    arms = {"x": Arm(add=("tilt",)), "twice": Arm(add=("repeat",))}
    found = judged(facts, arms, a__x="helps", a__twice="hurts")
    found = with_settings(found, transforms={"repeat": Transform(), "tilt": Transform(rotate_deg=5)})
    [text] = sentences.failures(found)
    assert text.startswith(
        "a-twice hurts, although plain copies make the same training set at the same number of steps"
    )
    for more_steps in (model(num_steps=0, epochs=3), model(budget="equal_epochs")):
        assert sentences.failures(with_settings(found, models={"a": more_steps})) == []


def test_several_seeds_are_covered(page: str, twin: str) -> None:
    for text in (page, twin):
        assert "and the variation among the 2 replicates" in text
        assert "A verdict holds for this training split" in text


def test_replicates_that_draw_anew_say_more(facts: Facts) -> None:
    def varying(vary: str, replicates: int = 5) -> Facts:
        settings = facts.settings.model_copy(
            update={"train": facts.settings.train.model_copy(update={"vary": vary, "replicates": replicates})}
        )
        return replace(facts, settings=settings)

    assert sentences.scope(varying("all").settings) == "for training images like these (5 draws of them)"
    assert (
        sentences.scope(varying("generator").settings) == "for these training images and generators like these (5 fits)"
    )
    assert sentences.scope(varying("all", 1).settings) == "for these training images"
    assert "training sets like these" in sentences.caveat(varying("all").settings)
    assert "generators fitted to it" in sentences.caveat(varying("generator").settings)


def test_without_validation_split_and_with_one_seed(bare: Facts) -> None:
    assert "its first one, without validation images" in sentences.beside(bare.result("both"), bare)
    page, twin = pages.html(bare), pages.markdown(bare)
    assert [chart.title for chart in charts.curves(bare, "lenet")] == ["Training loss, log scale", "Learning rate"]
    assert "Validation" not in page
    assert "There are none." in page
    for text in (page, twin):
        assert "says nothing about other seeds" in text
        assert "no validation" in text
        assert "over the replicates" not in text.split("Learning curves")[0].split("Audit of")[0]
    assert [sheet.name for sheet in bare.sheets] == ["train", "test", "tilt", "gan"]


def test_a_lone_baseline_has_nothing_to_compare(facts: Facts) -> None:
    alone = with_settings(facts, arms={"real": Arm()}, ensembles={})
    assert sentences.basis(alone).startswith("Only the baseline arm, real, was run")
    assert "The verdicts in words" in pages.html(facts)
    kept = tuple(result for result in facts.results if result.arm == "real")
    assert "The verdicts in words" not in pages.html(replace(alone, results=kept)), "there are none"


def test_the_gain_over_the_control_that_is_named_has_a_verdict(facts: Facts) -> None:
    low_high = {"control_gain": 0.02, "control_gain_low": 0.005, "control_gain_high": 0.035, "control": "a-y"}
    found = judged(facts, a__x={"verdict": "helps", **low_high}, a__y="helps")
    assert sentences.control_sentences(found) == [], "plain copies are a check, not a rival"
    compare = found.settings.compare.model_copy(update={"control": "y"})
    said = [spoken(each) for each in sentences.control_sentences(with_settings(found, compare=compare))]
    assert said == ["a-x over a-y: +2.00 points, 95 % interval +0.50 to +3.50, helps."]


def test_a_run_that_is_compared_with_another_is_named_and_its_attention_drawn(tmp_path: Path, facts: Facts) -> None:
    found = facts_of(workspace(tmp_path, finetunes="{on: {net: lenet, init_from: lenet-real}}"))
    page, twin = pages.html(found), pages.markdown(found)
    [sentence] = sentences.run_sentences(found)
    text = spoken(sentence)
    assert text.startswith("on-real has too few replicates compared with lenet-real (+50.00 points, 95 % interval ")
    assert text[8:] in re.sub(r"<[^>]+>", "", page)
    assert "compared with lenet-real" in twin
    assert "Runs on the baseline arm are compared with the run that the verdict names." in page
    assert [row[2] for row in models(found).rows] == ["random weights", "lenet-real"]
    assert "0.80 to 1.50 times an even share" in page
    assert page.count('id="attention"') == 1
    assert "on-real" in page[page.index('id="attention"') :]
    assert 'id="attention"' not in pages.html(facts)
    assert sentences.run_sentences(facts) == []


def test_where_the_other_run_diverged_that_run_is_named(tmp_path: Path) -> None:
    found = facts_of(workspace(tmp_path, finetunes="{on: {net: lenet, init_from: lenet-real}}", diverged="lenet-real"))
    [sentence] = sentences.run_sentences(found)
    assert spoken(sentence) == "on-real and lenet-real are not compared: lenet-real diverged."


def test_a_run_that_diverged_is_named_first_and_drawn_nowhere(tmp_path: Path) -> None:
    facts = facts_of(workspace(tmp_path, diverged="lenet-more"))
    page, twin = pages.html(facts), pages.markdown(facts)
    [sentence] = sentences.arm_sentences(facts)
    assert spoken(sentence) == "more diverged for lenet (1 of 2 seeds)."
    assert sentences.failures(facts) == [
        "lenet-more, seed 0: diverged after 1.5 epochs: <boom>.",
        "both leaves out lenet-more, whose training diverged.",
    ]
    assert "&lt;boom&gt;" in page
    assert "diverged: 1 of 2 seeds" in page
    assert "diverged: 1 of 2 seeds" in twin
    assert "left out: lenet-more, diverged" in twin
    assert forest(facts) is None, "no interval, no bar"
    assert facts.result("both").scores["baseline"] == "lenet-real"


def test_where_the_baseline_diverged_there_is_nothing_to_draw(tmp_path: Path) -> None:
    facts = facts_of(workspace(tmp_path, diverged="lenet-real"))
    [sentence] = sentences.arm_sentences(facts)
    assert spoken(sentence) == "more cannot be compared for lenet, because the baseline diverged."
    assert "diverged: its baseline" in pages.html(facts)


def test_without_generators_the_audit_speaks_of_test_images_alone(facts: Facts) -> None:
    leaks = tuple(audit for audit in facts.audits if not audit.is_generated)
    sheets = tuple(sheet for sheet in facts.sheets if sheet.name != "gan")
    bare = replace(with_settings(facts, generators={}), audits=leaks, sheets=sheets, losses={}, encoder=None, search={})
    assert sentences.audit_recall(bare) == ""
    for text in (pages.markdown(bare), pages.html(bare)):
        assert "the audit only checks for copies of test images" in text
        assert "C_T" not in text
        assert "Holm, at a level" not in text
    assert "\n\n\n" not in pages.markdown(bare)

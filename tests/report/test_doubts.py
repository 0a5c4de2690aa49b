"""The report names trainings whose course could explain a verdict."""

from dataclasses import replace

import pytest

from kit.report import spoken, with_settings
from touchstone.config.load import resolve_model
from touchstone.config.schema.data import Arm
from touchstone.report import doubts, pages
from touchstone.report.facts import Facts
from touchstone.report.headline import headline

OVERFITTED = {"convergence": "overfitted", "val_lowest_step": 240, "val_rise": 0.312, "val_change": 0.01}
FALLING = {"convergence": "still falling", "val_lowest_step": 600, "val_rise": 0.0, "val_change": -0.034}
SETTLED = {"convergence": "settled", "val_lowest_step": 500, "val_rise": 0.01, "val_change": 0.0}


def study(facts: Facts, *, real: dict, more: dict, verdict: str, **train: str) -> Facts:
    """Facts of a model with the baseline `real` and an arm `more`: the courses of both, and the arm's verdict."""
    model = resolve_model({"net": "lenet", "input_size": 8, "num_steps": 600, "schedule": "one_cycle"} | train)
    found = with_settings(
        facts, models={"a": model}, ensembles={}, arms={"real": Arm(), "more": Arm(add=("tilt",))}, finetunes={}
    )
    blank = facts.result("lenet-more")
    scores = {"real": real, "more": more | {"verdict": verdict, "baseline": "a-real"}}
    results = (replace(blank, name=f"a-{arm}", model="a", arm=arm, scores=row) for arm, row in scores.items())
    return replace(found, results=tuple(results))


def test_a_generated_set_with_copies_of_test_images_is_named_in_the_headline(facts: Facts) -> None:
    found = study(facts, real=SETTLED, more=SETTLED, verdict="helps")
    arms = {"real": Arm(), "more": Arm(add=("gan",))}
    audits = tuple(replace(one, figures=one.figures | {"verdict": "leak"}) for one in found.audits)
    leaky = replace(with_settings(found, arms=arms), audits=audits)
    assert spoken(headline(leaky)).endswith(
        " But gan holds copies of test images: no verdict on an arm that adds it is fair."
    )
    assert doubts.leaking(replace(found, audits=audits)) == [], "no arm adds gan"
    shared = {"exact_test": 0, "shared_group_test": 2, "shared_group_val": 1}
    audits = tuple(replace(one, figures=one.figures | shared) for one in audits)
    assert spoken(doubts.leaking(replace(leaky, audits=audits))) == (
        " But gan holds images of groups that test and validation images belong to: no verdict on an arm that adds "
        "it is fair."
    )


def test_an_overfitted_baseline_could_explain_that_an_arm_helps(facts: Facts) -> None:
    found = study(facts, real=OVERFITTED, more=SETTLED, verdict="helps", select="last")
    assert doubts.sentences(found) == [
        "a-real overfitted: its validation loss was lowest at step 240, rose by 31 % to the end, and its last weights "
        "were kept. A shorter baseline could explain why a-more helps."
    ]
    assert spoken(headline(found)) == (
        "Adding more images improves a over real images alone. This holds for these training images. "
        "But a-real overfitted: trained for fewer steps, it might gain as much."
    )


def test_the_best_weights_are_told_and_explain_nothing_where_a_shorter_training_would_keep_them(facts: Facts) -> None:
    found = study(facts, real=OVERFITTED, more=SETTLED, verdict="helps", select="val_loss")
    [text] = doubts.sentences(found)
    assert "and the best weights by val_loss were kept, but its schedule was made for all steps. A shorter" in text
    constant = study(facts, real=OVERFITTED, more=SETTLED, verdict="helps", select="val_loss", schedule="constant")
    assert doubts.sentences(constant) == []
    assert doubts.in_short(constant) == []
    last = study(facts, real=OVERFITTED, more=SETTLED, verdict="helps", select="last", schedule="constant")
    assert len(doubts.sentences(last)) == 1


def test_a_baseline_that_had_not_converged_could_explain_that_an_arm_helps(facts: Facts) -> None:
    found = study(facts, real=FALLING, more=FALLING, verdict="helps", schedule="constant")
    assert doubts.sentences(found) == [
        "a-real had not converged: its validation loss still fell by 3.4 % in the last tenth. A longer baseline could "
        "explain why a-more helps."
    ]
    assert spoken(doubts.in_short(found)) == (
        " But a-real had not converged: trained for more steps, it might gain as much."
    )


@pytest.mark.parametrize("verdict", ["inconclusive", "hurts"])
def test_an_arm_that_had_not_converged_could_still_help(facts: Facts, verdict: str) -> None:
    found = study(facts, real=SETTLED, more=FALLING, verdict=verdict)
    assert doubts.sentences(found) == [
        "a-more had not converged: its validation loss still fell by 3.4 % in the last tenth. More steps could change "
        f"its verdict ({verdict})."
    ]
    assert spoken(headline(found)).endswith(". a-more had not converged: more steps could change the verdict.")


@pytest.mark.parametrize(
    ("real", "more", "verdict"),
    [
        (SETTLED, FALLING, "helps"),
        (OVERFITTED, SETTLED, "inconclusive"),
        (OVERFITTED, SETTLED, "hurts"),
        (FALLING, OVERFITTED, "diverged"),
        ({}, {}, "helps"),
    ],
)
def test_other_courses_explain_no_verdict(facts: Facts, real: dict, more: dict, verdict: str) -> None:
    assert doubts.sentences(study(facts, real=real, more=more, verdict=verdict, select="last")) == []


def test_the_report_shows_every_course(facts: Facts, page: str, twin: str) -> None:
    results = tuple(
        replace(result, scores=result.scores | row) if result.arm else result
        for result, row in zip(facts.results, (OVERFITTED, FALLING, {}), strict=True)
    )
    found = replace(facts, results=results)
    assert doubts.table(found).rows == [
        ["lenet-real", "overfitted", "240", "+31.20", "+1.00", "best val_accuracy"],
        ["lenet-more", "still falling", "600", "0.00", "−3.40", "best val_accuracy"],
    ]
    assert "| lenet-real | overfitted | 240 |" in pages.markdown(found)
    assert "<td>overfitted</td>" in pages.html(found)
    assert "Convergence" not in page + twin, "no validation loss tells"

"""The report recommends an arm to keep and a next study, and counts what this one cost."""

from dataclasses import replace

import pandas as pd
import pytest

from kit.report import spoken, with_settings
from touchstone.config.schema.data import Arm, Transform
from touchstone.evaluation.design import Spread, smallest_gain
from touchstone.report import advice, charts, words
from touchstone.report.arms import training_sets
from touchstone.report.facts import Facts
from touchstone.report.forest import forest
from touchstone.report.headline import headline, title


def judged(facts: Facts, **scores: dict) -> Facts:
    """Facts of lenet on real and on arms with these scores, three replicates each."""
    settings = facts.settings
    train = settings.train.model_copy(update={"replicates": 3})
    arms = {"real": Arm()} | {name: Arm(add=("tilt",)) for name in scores}
    blank = facts.result("lenet-more")
    rows = {"real": {"accuracy": 0.9}} | scores
    results = tuple(
        replace(blank, name=f"lenet-{arm}", arm=arm, scores={"baseline": "lenet-real"} | row if arm != "real" else row)
        for arm, row in rows.items()
    )
    changed = with_settings(facts, arms=arms, train=train, ensembles={})
    return replace(changed, results=results)


def gain(verdict: str, **more: float | str) -> dict:
    spread = {"gain_sd_seeds": 0.01, "gain_sd_images": 0.3, "gain_detectable": 0.02}
    return {"verdict": verdict, "accuracy": 0.93, "gain": 0.03, "gain_low": 0.0, "gain_high": 0.06} | spread | more


def test_of_arms_that_help_the_best_on_validation_is_kept(facts: Facts) -> None:
    found = judged(
        facts,
        x=gain("helps", accuracy=0.95, val_accuracy=0.9),
        y=gain("helps", accuracy=0.93, val_accuracy=0.94),
        z=gain("inconclusive", accuracy=0.99, val_accuracy=0.99),
    )
    assert [spoken(each) for each in advice.keep(found)] == [
        "y for lenet (90.0 → 93.0 %), the best on validation; x helps, too."
    ]
    doubtful = replace(
        found,
        results=(replace(found.results[0], scores={"accuracy": 0.9, "convergence": "overfitted"}), *found.results[1:]),
    )
    assert spoken(advice.keep(doubtful)[0]).endswith("First see whether a baseline of another length gains as much.")
    assert [spoken(each) for each in advice.keep(judged(facts, x=gain("hurts")))] == [
        "real for lenet (90.0 %): no arm is shown to help."
    ]


def test_the_next_study_is_told_with_what_it_would_detect(facts: Facts) -> None:
    found = judged(facts, x=gain("inconclusive"))
    first = spoken(advice.next_steps(found)[0])
    images, spread = int(found.findings["num_test"]), Spread(0.01, 0.3)
    now, more, larger = (
        smallest_gain(found.settings, spread, num_seeds=seeds, num_images=size)
        for seeds, size in ((3, images), (6, images), (3, 2 * images))
    )
    assert first == (
        f"To detect gains below 2.0 points: twice the replicates (train.replicates: 6) would detect "
        f"{2 * more / now:.1f}; twice the test images would detect {2 * larger / now:.1f}."
    )
    assert min(more, larger) < now
    certain = judged(facts, x=gain("inconclusive", gain_sd_images=0.0001))
    assert spoken(advice.next_steps(certain)[0]).endswith("; more test images would not help.")


def test_training_images_of_their_own_are_advised_at_a_size_that_allows_them(facts: Facts) -> None:
    found = judged(facts, x=gain("helps"))
    found = replace(found, findings=found.findings | {"num_train": 400, "num_over_train_size": 200})
    [step] = [text for each in advice.next_steps(found) if "train.vary" in (text := spoken(each))]
    assert "train.vary: all with data.train_size: 200, so each trains on fewer images, makes" in step
    found = replace(found, findings=found.findings | {"num_train": 200, "num_over_train_size": 400})
    [step] = [text for each in advice.next_steps(found) if "train.vary" in (text := spoken(each))]
    assert "train.vary: all makes verdicts" in step, "there are enough for three sets of the present size"


@pytest.mark.parametrize(
    ("course", "where", "text"),
    [
        ("still falling", "x", "Train longer: the validation loss of lenet-x still fell at the end."),
        (
            "overfitted",
            "real",
            "Try fewer steps (num_steps): the validation loss of lenet-real was lowest at step 900.",
        ),
        ("overfitted", "x", ""),
        ("settled", "real", ""),
    ],
)
def test_courses_of_training_lead_to_other_budgets(facts: Facts, course: str, where: str, text: str) -> None:
    rows = {"real": {"accuracy": 0.9}, "x": gain("helps")}
    rows[where] |= {"convergence": course, "val_lowest_step": 900}
    found = judged(facts, x=rows["x"])
    found = replace(found, results=(replace(found.results[0], scores=rows["real"]), found.results[1]))
    steps = [spoken(step) for step in advice.next_steps(found)]
    assert [step for step in steps if "validation loss" in step] == ([text] if text else [])
    assert any("budget: tuned" in step for step in steps)


def test_what_was_spent_is_counted(facts: Facts) -> None:
    settings = judged(facts, x=gain("helps")).settings
    assert advice.spent(settings).startswith("6 training runs and 1 generator fit")
    assert advice.spent(settings.model_copy(update={"generators": {}})) == "6 training runs"


def test_the_forest_shades_the_gains_that_it_could_not_see(facts: Facts) -> None:
    drawn = forest(judged(facts, x=gain("inconclusive"), y=gain("helps", gain_low=0.01, gain_detectable=0.01)))
    assert drawn is not None
    assert drawn.is_shaded
    [group] = drawn.groups
    assert (group.title, group.baseline, group.score) == ("lenet", "real", "90.0")
    assert [row.label for row in group.rows] == ["x", "y"]
    x, y = group.rows
    assert x.band
    assert y.band
    assert x.band[0] == 0, "a band ends where the axis does"
    assert x.band[0] + x.band[1] == pytest.approx(drawn.zero + (y.left - drawn.zero) * 2, abs=0.05), (
        "2 points to the right"
    )
    assert y.band[0] + y.band[1] == pytest.approx(y.left, abs=0.02), "its own gain that it detects is 1 point"


def test_a_curve_is_ringed_where_it_overfits_or_still_falls(facts: Facts) -> None:
    steps = [10.0, 20.0, 30.0]
    curve = pd.DataFrame({"step": steps, "epoch": 1.0, "val_loss": [0.5, 0.2, 0.4]})
    found = judged(facts, x=gain("helps", convergence="still falling"))
    overfitted = replace(found.results[0], scores={"convergence": "overfitted", "val_lowest_step": 20})
    found = replace(found, results=(overfitted, found.results[1]), curves={"lenet-real": curve, "lenet-x": curve})
    [drawn] = charts.curves(found, "lenet")
    assert [text for _, _, text in drawn.marks] == [
        "real: lowest here, overfitted after",
        "x: still falling at the end",
    ]
    (low_x, low_y, _), (end_x, end_y, _) = drawn.marks
    assert (low_x, end_x) == (200, 300), "of a width of 300 units for 30 steps"
    assert low_y > end_y, "the lowest loss is lowest on the page"


def test_a_long_path_keeps_its_end() -> None:
    assert words.short_path("a/b.png") == "a/b.png"
    assert words.short_path("some/long/folder/of/pictures/cats/0001.png") == "…/of/pictures/cats/0001.png"
    assert words.short_path("x" * 40 + ".png") == "…" + "x" * 23 + ".png"


def test_each_arm_is_explained_beside_the_chart(facts: Facts) -> None:
    arms = {
        "real": Arm(),
        "both": Arm(add=("tilt", "same", "gan")),
        "alone": Arm(add=("gan",), real=False),
    }
    transforms = {**facts.settings.transforms, "same": Transform()}
    sizes = {"real": (200, 0), "both": (200, 600), "alone": (0, 1)}
    changed = replace(with_settings(facts, arms=arms, transforms=transforms), arm_sizes=sizes)
    assert training_sets(changed) == [
        ("real", "is the 200 real images alone"),
        ("both", "adds 600 images from the transforms tilt and same (plain copies) and the generator gan"),
        ("alone", "is 1 image from the generator gan, without real images"),
    ]


def test_ensembles_stand_apart_with_the_member_that_they_are_compared_with(facts: Facts) -> None:
    drawn = forest(facts)
    assert drawn is not None
    last = drawn.groups[-1]
    assert (last.title, [row.label for row in last.rows]) == ("ensembles", ["both"])
    assert last.baseline == facts.result("both").scores["baseline"]


@pytest.mark.parametrize(
    ("source", "own", "classes", "expected"),
    [
        ("digits", "", "abcdefg", "digits"),
        ("folder", "Scenes of two towns", "ab", "Scenes of two towns"),
        ("folder", "", "ab", "a and b"),
        ("voc", "", "abcd", "a, b, c and d"),
        ("folder", "", "abcdefg", "a, b, c and 4 other classes"),
    ],
)
def test_a_folder_is_titled_by_its_classes(facts: Facts, source: str, own: str, classes: str, expected: str) -> None:
    data = facts.settings.data.model_copy(update={"source": source})
    report = facts.settings.report.model_copy(update={"title": own})
    changed = with_settings(facts, data=data, report=report)
    assert title(replace(changed, classes=list(classes))) == expected


def test_without_a_comparison_the_first_screen_tells_the_scores_and_what_to_add(facts: Facts) -> None:
    ends = {"accuracy_low": 0.85, "accuracy_high": 0.94}
    alone = judged(facts)
    course = {"convergence": "overfitted", "val_lowest_step": 1200}
    run = replace(alone.results[0], scores={"accuracy": 0.9} | course | ends)
    found = replace(alone, results=(run,))
    assert spoken(headline(found)) == "lenet reaches 90.0 % test accuracy (95 % interval 85.0 to 94.0)."
    first, second = (spoken(step) for step in advice.next_steps(found))
    assert first.startswith("Add an arm (arms)")
    assert second == "Try fewer steps (num_steps): the validation loss of lenet-real was lowest at step 1,200."
    many = replace(found, results=(run,) * 5)
    assert spoken(headline(many)).endswith("; lenet reaches 90.0 % (85.0 to 94.0); 2 more runs below.")

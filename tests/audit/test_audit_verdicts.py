"""The words, their reasons and Holm's correction."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from touchstone.audit.groups import SharedGroups, shared_groups
from touchstone.audit.nearness import Nearness, nearness
from touchstone.audit.pairs import Calibration, Copies, Matches, calibrate, find_copies
from touchstone.audit.quality import LabelledFeatures
from touchstone.audit.verdicts import COPIES, LEAK, NEARER, NO_COPYING, NO_LEAK, Evidence, Verdict, judge, upper_bound
from touchstone.data.copies import thumbnails
from touchstone.data.ops.resize import scale


def copies(count: int, exact: int = 0, near: int = 0, *, real: tuple[int, int] = (4, 897)) -> Copies:
    flags = np.arange(count)
    none = np.zeros(count)
    matches = Matches(flags, none.astype(bool), none, none, exact=flags < exact)
    return Copies(matches, (flags >= exact) & (flags < exact + near), Calibration(0.3, *real))


def measured(p: float = 0.5) -> Nearness:
    return Nearness(nearer=0.65, lean=0.05, lean_sd=0.01, z=5.04, p=p)


def generated(training: Copies | None = None, test: Copies | None = None, p: float = 0.5) -> Evidence:
    return Evidence({"training": training or copies(600), "test": test or copies(600)}, measured(p))


def alone(evidence: Evidence) -> Verdict:
    return judge({"set": evidence})["set"]


def test_without_copying_the_verdict_tells_what_was_looked_for_and_bounds_it() -> None:
    found = alone(generated(copies(600, near=3)))
    assert found.word == NO_COPYING
    assert found.reasons[:2] == [
        "No exact copies of training images among 600.",
        "3 of 600 images are near copies of training images, against 4 of 897 real images (p = 1).",
    ]
    assert found.reasons[-2] == (
        "65 % of the images lie nearer to a training image than to any of as many unseen ones; "
        "their distances are 5.0 standard deviations from the mean of honest splits (p = 1)."
    )
    assert found.reasons[-1].endswith("would find copies in fewer than 1.3 % of such images.")


@pytest.mark.parametrize(
    ("training", "test", "word", "reason"),
    [
        (copies(600, exact=1), None, COPIES, "1 exact copy of training images among 600."),
        (None, copies(600, exact=2), LEAK, "2 exact copies of test images among 600."),
        (copies(600, near=30), None, COPIES, "30 of 600 images are near copies of training images, against 4 of 897"),
        (None, copies(600, near=30), LEAK, "30 of 600 images are near copies of test images, against 4 of 897"),
    ],
)
def test_copies_gives_the_reason_alone(training: Copies | None, test: Copies | None, word: str, reason: str) -> None:
    found = alone(generated(training, test))
    assert found.word == word
    assert len(found.reasons) == 1
    assert found.reasons[0].startswith(reason)


def test_copies_of_test_images_are_a_leak_whatever_else_is_copied() -> None:
    both = alone(generated(copies(600, exact=1), copies(600, exact=2)))
    assert both.word == LEAK
    assert len(both.reasons) == 2, "both are said"


def test_images_that_are_nearer_but_no_copies_have_a_word_of_their_own() -> None:
    assert alone(generated(p=1e-4)).word == NEARER
    both = alone(generated(copies(600, exact=1), p=1e-4))
    assert both.word == COPIES
    assert len(both.reasons) == 2, "both are said"


def test_all_tests_of_all_generated_sets_are_one_family() -> None:
    """p = .01 of three tests is .03 by Holm, of twelve .12."""
    assert alone(generated(p=0.01)).word == NEARER
    several = judge({"set": generated(p=0.01)} | {name: generated() for name in "abc"})
    assert several["set"].word == NO_COPYING
    assert several["set"].p_values["nearness"] == pytest.approx(0.12)
    assert judge({}) == {}


def test_a_derived_set_is_searched_for_test_images_alone() -> None:
    clean, leaks = (alone(Evidence({"test": copies(200, exact=exact)})) for exact in (0, 1))
    assert (clean.word, leaks.word) == (NO_LEAK, LEAK)
    assert not any("training" in reason for reason in (*clean.reasons, *leaks.reasons))
    assert set(clean.p_values) == {"near_test"}


def test_with_too_few_images_nothing_is_claimed() -> None:
    none = Evidence({"training": copies(0), "test": copies(0)}, Nearness(*[np.nan] * 5))
    found = alone(none)
    assert found.word == NO_COPYING
    assert found.reasons[-1].startswith("There are too few images to tell")
    assert "nearness" not in found.p_values


@pytest.mark.parametrize(("found", "count", "bound"), [(0, 600, 0.00498), (0, 59, 0.0495), (3, 600, 0.0129), (5, 5, 1)])
def test_the_bound_is_that_of_clopper_and_pearson(found: int, count: int, bound: float) -> None:
    assert upper_bound(found, count) == pytest.approx(bound, rel=1e-2)
    assert np.isnan(upper_bound(0, 0))


DIGITS = np.stack([scale(np.rint(one * 255 / 16).astype(np.uint8)[..., None], 16, 16) for one in load_digits().images])
CHANGES = {
    "noise": lambda images, rng: images + rng.normal(0, 8, images.shape),
    "moved": lambda images, rng: np.pad(images, ((0, 0), (0, 0), (1, 0), (0, 0)), mode="edge")[:, :, :-1],
    "mirrored": lambda images, rng: images[:, :, ::-1],
    "blended": lambda images, rng: 0.7 * images + 0.3 * images[rng.permutation(len(images))],
}


def word(change: str, seed: int) -> str:
    """The verdict on 300 held-out digits, 60 of them in the place of which copies stand, unless change is empty."""
    rng = np.random.default_rng(seed)
    labels = load_digits().target.astype(np.int64)
    train, test, made = np.split(rng.permutation(len(DIGITS))[:1000], [200, 700])
    images, classes = DIGITS[made].astype(float), labels[made]
    if change:
        images[:60], classes[:60] = CHANGES[change](DIGITS[train[:60]].astype(float), rng), labels[train[:60]]
    pixels = np.clip(np.rint(images), 0, 255).astype(np.uint8)
    pairs = {"training": (train, test), "test": (test, train)}
    against = {
        name: find_copies(pixels, DIGITS[known], calibrate(DIGITS[other], DIGITS[known], seed=seed))
        for name, (known, other) in pairs.items()
    }
    sets = ((pixels, classes), (DIGITS[train], labels[train]), (DIGITS[test], labels[test]))
    features = [LabelledFeatures(thumbnails(part), part_labels) for part, part_labels in sets]
    return alone(Evidence(against, nearness(*features, seed=seed, num_splits=100))).word


@pytest.mark.parametrize("change", CHANGES)
def test_a_fifth_of_copies_among_digits_is_found(change: str) -> None:
    assert {word(change, seed) for seed in range(2)} <= {COPIES, NEARER}


def test_held_out_digits_are_no_copies() -> None:
    assert [word("", seed) for seed in range(4)].count(NO_COPYING) >= 3


@pytest.mark.slow
def test_of_two_hundred_honest_sets_of_digits_at_most_one_in_twenty_gets_another_word() -> None:
    assert [word("", seed) for seed in range(200)].count(NO_COPYING) >= 190


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_copies_among_digits_are_found_in_four_of_five_draws(change: str) -> None:
    assert [word(change, seed) for seed in range(40)].count(NO_COPYING) <= 8


def shared(test: dict[str, int], val: dict[str, int], unknown: int = 0) -> SharedGroups:
    return SharedGroups(60, unknown, {"test": Counter(test), "val": Counter(val)})


@pytest.mark.parametrize(
    ("groups", "word", "reasons"),
    [
        (
            shared({"p07": 5, "p09": 7}, {"p01": 1}),
            LEAK,
            [
                "12 of 60 images belong to groups of test images: p09 (7), p07 (5).",
                "1 of 60 images belongs to a group of validation images: p01 (1).",
            ],
        ),
        (
            shared({}, {"p01": 2}, unknown=3),
            LEAK,
            [
                "2 of 60 images belong to a group of validation images: p01 (2).",
                "3 of 60 images have no group, so they may belong to a held-out one.",
            ],
        ),
        (shared({}, {}), NO_COPYING, ["No image belongs to a group of test or validation images."]),
        (
            shared({}, {}, unknown=60),
            NO_COPYING,
            ["60 of 60 images have no group, so they may belong to a held-out one."],
        ),
    ],
)
def test_groups_that_are_held_out_are_a_leak(groups: SharedGroups, word: str, reasons: list[str]) -> None:
    plain = generated(copies(600), copies(600))
    found = alone(replace(plain, groups=groups))
    assert found.word == word
    if word == LEAK:
        assert found.reasons == reasons
    else:
        assert [each for each in found.reasons if each not in alone(plain).reasons] == reasons


def test_groups_are_compared_with_those_of_both_held_out_splits() -> None:
    files = pd.DataFrame({"row": range(5), "file": list("abcde"), "group": ["p1", "p1", "p2", "", "p3"]})
    test, val = pd.DataFrame({"group": ["p1", "p9", ""]}), pd.DataFrame({"group": ["p3", ""]})
    found = shared_groups(files, {"test": test, "val": val})
    assert found.figures == {"shared_group_test": 2, "shared_group_val": 1, "unknown_group": 1}
    assert found.images == {"test": {"p1": 2}, "val": {"p3": 1}}, "an image without a group shares none"
    assert not shared_groups(files, {"test": pd.DataFrame({"id": ["x"]}), "val": val.iloc[:0]}).is_leak

"""The words, their reasons and Holm's correction."""

import numpy as np
import pytest

from touchstone.audit.nearness import Nearness
from touchstone.audit.pairs import Calibration, Copies, Matches
from touchstone.audit.verdicts import COPIES, LEAK, NEARER, NO_COPYING, NO_LEAK, Evidence, Verdict, judge, upper_bound


def copies(count: int, exact: int = 0, near: int = 0, *, real: tuple[int, int] = (4, 897)) -> Copies:
    flags = np.arange(count)
    none = np.zeros(count)
    matches = Matches(flags, none.astype(bool), none, none, exact=flags < exact)
    return Copies(matches, (flags >= exact) & (flags < exact + near), Calibration(0.3, *real))


def nearness(p: float = 0.5) -> Nearness:
    return Nearness(nearer=0.65, lean=0.05, lean_sd=0.01, z=5.04, p=p)


def generated(training: Copies | None = None, test: Copies | None = None, p: float = 0.5) -> Evidence:
    return Evidence({"training": training or copies(600), "test": test or copies(600)}, nearness(p))


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
    ("training", "test", "reason"),
    [
        (copies(600, exact=1), None, "1 exact copy of training images among 600."),
        (None, copies(600, exact=2), "2 exact copies of test images among 600."),
        (copies(600, near=30), None, "30 of 600 images are near copies of training images, against 4 of 897"),
        (None, copies(600, near=30), "30 of 600 images are near copies of test images, against 4 of 897"),
    ],
)
def test_copies_gives_the_reason_alone(training: Copies | None, test: Copies | None, reason: str) -> None:
    found = alone(generated(training, test))
    assert found.word == COPIES
    assert len(found.reasons) == 1
    assert found.reasons[0].startswith(reason)


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

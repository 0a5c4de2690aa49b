import numpy as np
import pytest

from touchstone.errors import TouchstoneError
from touchstone.evaluation.ensembles import combine, tie_breaker, tied, without_diverged


def probs(*decisions: int, confidence: float = 0.6, classes: int = 4) -> np.ndarray:
    """(1, N, classes): each item's decision with this confidence, the rest shared by the others."""
    out = np.full((1, len(decisions), classes), (1 - confidence) / (classes - 1), np.float32)
    out[0, range(len(decisions)), decisions] = confidence
    return out


MEMBERS = {"a": probs(0, 0, 1, 3), "b": probs(0, 1, 2, 2), "c": probs(1, 1, 3, 3)}


@pytest.mark.parametrize(("prefer", "third"), [("a", 1), ("b", 2), ("c", 3)])
def test_the_majority_decides_and_the_preferred_member_where_all_differ(prefer: str, third: int) -> None:
    out = combine("majority", MEMBERS, prefer=prefer)
    assert out.argmax(2).tolist() == [[0, 1, third, 3]]
    assert tied(np.stack(list(MEMBERS.values()))).tolist() == [[False, False, True, False]]


def test_a_tie_that_leaves_the_preferred_member_out_goes_to_its_likelier_class() -> None:
    last = np.array([[[0.1, 0.2, 0.3, 0.4]]], np.float32)
    members = {"a": probs(0), "b": probs(0), "c": probs(1), "d": probs(1), "e": last}
    assert combine("majority", members, prefer="e").argmax(2).tolist() == [[1]]


def test_probabilities_are_proper_and_never_zero() -> None:
    for rule, precision in (("majority", np.float64), ("mean", np.float32)):
        out = combine(rule, MEMBERS, prefer="a")
        assert out.dtype == precision
        assert np.allclose(out.sum(2), 1, atol=1e-6)
        assert out.min() > 0


def test_the_mean_is_the_mean_and_decides_by_confidence() -> None:
    members = {"a": probs(0, confidence=0.9), "b": probs(1, confidence=0.4), "c": probs(1, confidence=0.4)}
    assert combine("mean", members, prefer="").argmax() == 0
    assert combine("majority", members, prefer="a").argmax() == 1
    assert np.allclose(combine("mean", members, prefer=""), sum(members.values()) / 3)


def test_seeds_are_joined_seed_by_seed_and_no_images_give_no_decisions() -> None:
    two = {name: np.concatenate([value, value[:, ::-1]]) for name, value in MEMBERS.items()}
    assert combine("majority", two, prefer="a").argmax(2).tolist() == [[0, 1, 1, 3], [3, 1, 1, 0]]
    none = {name: value[:, :0] for name, value in MEMBERS.items()}
    assert combine("majority", none, prefer="a").shape == (1, 0, 4)


def test_members_of_other_shapes_are_refused() -> None:
    with pytest.raises(TouchstoneError, match="differ in shape"):
        combine("mean", {"a": probs(0), "b": probs(0, 1)}, prefer="")


def test_members_that_diverged_are_left_out_and_the_first_decides_in_place_of_the_preferred() -> None:
    members = ("a", "b", "c")
    assert without_diverged(members, []) == ["a", "b", "c"]
    assert without_diverged(members, ["b", "x"]) == ["a", "c"]
    assert without_diverged(members, members) == ["a", "b", "c"], "there are no others"
    assert tie_breaker(["a", "c"], "c") == "c"
    assert tie_breaker(["a", "c"], "b") == "a"

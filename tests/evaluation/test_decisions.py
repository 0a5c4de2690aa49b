"""What the mean over the replicates decides, where classes tie."""

import numpy as np
import pytest
import torch

from touchstone.evaluation.decisions import TIE, decided, labelled, ranked, settled
from touchstone.evaluation.ensembles import combine
from touchstone.evaluation.probs import predictions
from touchstone.export.graph import Combine


def one_hot(*decisions: int, classes: int) -> np.ndarray:
    """(1, N, classes): a member that is sure of each decision."""
    return np.eye(classes, dtype=np.float32)[list(decisions)][None]


def test_rounding_breaks_no_tie() -> None:
    """Three voters, three replicates: the first two classes have 5 votes each with those of the decisions."""
    votes = {"a": (0, 1, 1), "b": (0, 1, 2), "c": (0, 0, 3)}  # 4 + 1 + 0, and 0 + 3 + 2
    members = {name: np.concatenate([one_hot(vote, classes=5) for vote in given]) for name, given in votes.items()}
    shares = combine("majority", members, prefer="a")
    swapped = shares[..., [1, 0, *range(2, 5)]]
    means = [given.mean(0, dtype=np.float64) for given in (shares, swapped)]
    assert {int(mean.argmax()) for mean in means} == {0, 1}, "the same class, although they tie"
    assert [int(decided(mean)[0]) for mean in means] == [0, 0]
    for given in (shares, swapped):
        table = predictions(given, ["x.png"], list("abcde"), top=3)
        assert table[["label", "label_2", "label_3"]].to_numpy().tolist() == [["a", "b", "c"]]


@pytest.mark.parametrize("by_label", [False, True])
def test_an_exported_vote_decides_ties_as_the_pipeline_does(by_label: bool) -> None:
    random = np.random.default_rng(0)
    stack = random.random((4, 6, 2_000, 3), np.float32)
    stack /= stack.sum(3, keepdims=True)
    names, limits = list("abcd"), np.full((4, 3), 0.33)
    given = dict(zip(names, limits, strict=True)) if by_label else None
    shares = combine("majority", dict(zip(names, stack, strict=True)), prefer="b", thresholds=given)
    net = Combine("majority", preferred=1, thresholds=limits.tolist() if by_label else None)
    found, mean = (out.numpy() for out in net(torch.from_numpy(stack)))
    np.testing.assert_allclose(found, shares, atol=1e-6)
    ours = shares.mean(0, dtype=np.float64)
    if by_label:
        half = np.abs(ours - 0.5) < TIE
        assert half.sum() > 100, "labels on which the replicates are even"
        assert (mean[half] == 0.5).all()
        np.testing.assert_array_equal(mean >= np.float32(0.5), labelled(ours, np.full(3, 0.5)))
    else:
        first, second = np.sort(ours, 1)[:, :-3:-1].T
        assert (first - second < TIE).sum() > 100, "images on which the replicates are even"
        np.testing.assert_array_equal(mean.argmax(1), decided(ours))


def test_the_highest_probabilities_come_first_and_equal_ones_in_the_order_of_the_classes() -> None:
    mean = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4 + 1e-8], [0.3, 0.4, 0.3 + 1e-5]])
    assert ranked(mean, 3).tolist() == [[1, 2, 0], [0, 2, 1], [1, 2, 0]]
    assert decided(mean).tolist() == [1, 0, 1]
    assert settled(mean).argmax(1).tolist() == [1, 0, 1]
    np.testing.assert_allclose(settled(mean), mean, atol=TIE)
    assert ranked(mean[:0], 2).shape == (0, 2)


def test_a_label_at_its_threshold_is_predicted_in_either_precision() -> None:
    thresholds = np.array([0.7, 0.5, 0.07])
    mean = np.array([[0.7, 0.1 + 0.4 - 1e-12, 0.07], [0.699, 0.499, 0.069]])
    for precision in (np.float64, np.float32):
        assert labelled(mean.astype(precision), thresholds).tolist() == [[True] * 3, [False] * 3]

"""Votes that tie over the replicates: rounding decides neither a label nor an order, here or in an exported file."""

import numpy as np
import pytest
import torch

from touchstone.config.schema.evaluation import Compare
from touchstone.evaluation.ensembles import combine, replicate_mean
from touchstone.evaluation.measures import measure
from touchstone.evaluation.probs import predictions
from touchstone.evaluation.scores import precision_recall
from touchstone.export.checks import compared
from touchstone.export.graph import Combine

VOTES = {"a": (0, 1, 1), "b": (0, 1, 2), "c": (0, 0, 3)}
"""Of three voters in three replicates: with those of the decisions, classes 0 and 1 have 4 + 1 + 0 and 0 + 3 + 2."""


def shares(order: list[int]) -> np.ndarray:
    """The vote on one image, (3, 1, 6), with the classes in another order."""
    members = {name: np.eye(6, dtype=np.float32)[list(given)][:, None] for name, given in VOTES.items()}
    return combine("majority", members, prefer="a")[..., order]


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [1, 0, 2, 3, 4, 5]])
def test_the_first_of_the_classes_that_tie_is_the_label(order: list[int]) -> None:
    table = predictions(shares(order), ["x.png"], list("abcdef"), top=3)
    assert table[["label", "label_2", "label_3"]].to_numpy().tolist() == [["a", "b", "c"]]
    assert table["probability"].tolist() == table["probability_2"].tolist()


def test_sums_in_floating_point_would_differ() -> None:
    means = [shares(order).mean(0) for order in ([0, 1, 2, 3, 4, 5], [1, 0, 2, 3, 4, 5])]
    assert {int(mean.argmax()) for mean in means} == {0, 1}


def test_other_probabilities_are_compared_to_their_last_digit() -> None:
    probs = np.array([[[1e-9, 5e-7, 1 - 6e-7, 0.0]], [[1e-9, 5e-7, 1 - 6e-7, 0.0]]], np.float32)
    table = predictions(probs, ["x.png"], list("abcd"), top=4)
    assert table.filter(like="label").to_numpy().tolist() == [["c", "b", "a", "d"]]


def votes_of(*, by_label: bool) -> tuple[np.ndarray, np.ndarray]:
    """The vote of three members in three replicates on 2,000 images: as the pipeline has it, and the mean in a file."""
    stack = np.random.default_rng(0).random((3, 3, 2_000, 4), np.float32)
    stack /= stack.sum(3, keepdims=True)
    names, limits = list("abc"), np.full((3, 4), 0.25)
    given = dict(zip(names, limits, strict=True)) if by_label else None
    ours = combine("majority", dict(zip(names, stack, strict=True)), prefer="b", thresholds=given)
    net = Combine("majority", preferred=1, thresholds=limits.tolist() if by_label else None)
    each, mean = (out.numpy() for out in net(torch.from_numpy(stack)))
    np.testing.assert_allclose(each, ours, atol=1e-6)
    return ours, mean


@pytest.mark.parametrize("by_label", [False, True])
def test_an_exported_vote_decides_and_ranks_as_the_pipeline_does(by_label: bool) -> None:
    ours, file = votes_of(by_label=by_label)
    mean = replicate_mean(ours)
    np.testing.assert_array_equal(file.argmax(1), mean.argmax(1))
    np.testing.assert_array_equal(file >= np.float32(0.5), mean >= 0.5)
    assert len(np.unique(file)) == len(np.unique(mean)) < 40, "equally many votes are equal shares"
    random = np.random.default_rng(1)
    labels = (random.random(mean.shape) < 0.3).astype(np.float32) if by_label else random.integers(0, 4, len(mean))
    judge = measure(labels, Compare(baseline="real", num_resamples=200), seed=0)
    thresholds = np.full(4, 0.5) if by_label else None
    found = compared(file[None], mean[None], measure=judge, thresholds=thresholds)
    assert (found["agreement"], found["change"]) == (1, 0)


def test_a_curve_has_no_point_for_the_last_digits() -> None:
    ours, _ = votes_of(by_label=True)
    labels = np.tile(np.array([0, 1], np.float32), (4, len(ours[0]) // 2)).T
    table = precision_recall(ours, labels, list("abcd"))
    assert table.groupby("class").size().max() <= len(np.unique(replicate_mean(ours)))

"""Temperatures, reliability and weights of members, where the right answer is known."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, softmax

from touchstone.errors import TouchstoneError
from touchstone.evaluation.calibration import reliability, scaled, temperatures
from touchstone.evaluation.ensembles import combine, greedy, likelihoods, member_weights, mixture, rotated_means
from touchstone.evaluation.metrics import ECE
from touchstone.evaluation.scores import correct


def overconfident(factor: float, *, multi_label: bool = False, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Predictions (2, 4000, 3) whose logits are too large by a factor, and labels drawn from those without it."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(4000, 3)) * 2
    if multi_label:
        labels = (rng.random((4000, 3)) < expit(logits)).astype(np.float32)
        return np.stack([expit(factor * logits)] * 2), labels
    true = softmax(logits, 1)
    labels = (true.cumsum(1) > rng.random((4000, 1))).argmax(1)
    return np.stack([softmax(factor * logits, 1)] * 2).astype(np.float32), labels


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_and_calibrates_the_predictions(factor: float, multi_label: bool) -> None:
    probs, labels = overconfident(factor, multi_label=multi_label)
    divisors = temperatures(probs, labels)
    assert divisors.tolist() == pytest.approx([factor, factor], rel=0.08)
    out = scaled(probs, divisors, multi_label=multi_label)
    assert out.dtype == probs.dtype
    table = reliability(out, labels)
    gap = (abs(table["confidence"] - table["accuracy"]) * table["images"]).sum() / table["images"].sum()
    assert gap < 0.02
    if not multi_label:
        assert (out.argmax(2) == probs.argmax(2)).all(), "the predicted classes stay"
        assert out.sum(2) == pytest.approx(np.ones((2, 4000)), abs=1e-5)
    assert temperatures(probs[:, :0], labels[:0]).tolist() == [1, 1]


def test_reliability_sums_up_to_the_expected_calibration_error() -> None:
    probs, labels = overconfident(3.0)
    table = reliability(probs, labels)
    assert table["images"].sum() == 8000
    ece = (abs(table["confidence"] - table["accuracy"]) * table["images"]).sum() / 8000
    assert ece == pytest.approx(ECE.values(probs, labels).mean(), abs=1e-5)


def members(multi_label: bool = False) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """good knows most about the labels, fair something, noise nothing."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 500)
    target = np.eye(3)[truth]
    out = {}
    for name, strength in (("good", 2.0), ("fair", 1.2), ("noise", 0.0)):
        logits = strength * target + rng.normal(size=(2, 500, 3))
        out[name] = expit(logits - 0.5) if multi_label else softmax(logits, 2).astype(np.float32)
    return out, target.astype(np.float32) if multi_label else truth


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_mixture_is_that_of_a_general_solver(multi_label: bool) -> None:
    parts, labels = members(multi_label)
    stack = np.stack(list(parts.values()))
    true, weights = likelihoods(stack, labels), mixture(stack, labels)
    solver = minimize(
        lambda w: -np.log(w @ true).mean(),
        np.full(3, 1 / 3),
        bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
    )
    assert weights == pytest.approx(solver.x, abs=0.01)
    assert weights.sum() == pytest.approx(1)


def test_greedy_adds_members_that_help_and_is_no_worse_than_the_best_one() -> None:
    parts, labels = members()
    stack = np.stack(list(parts.values()))

    def accuracy(probs: np.ndarray) -> float:
        return float(correct(probs, labels).mean())

    weights = greedy(stack, labels, score=accuracy)
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > weights[2]
    assert accuracy(np.tensordot(weights, stack, 1)) >= max(accuracy(part) for part in stack)
    alone = greedy(np.stack([stack[0], stack[2]]), labels, score=lambda p: -abs(p - stack[0]).max())
    assert alone.tolist() == [1, 0], "a member that does not help is not added"


def test_weights_are_applied_and_need_validation_images() -> None:
    parts, labels = members()
    weights = member_weights("weighted", parts, labels, name="x", score=len)
    assert weights is not None
    out = combine("weighted", parts, prefer="good", weights=weights)
    expected = sum(weights[name] * part.astype(float) for name, part in parts.items())
    assert out == pytest.approx(expected, abs=1e-6)
    assert member_weights("mean", parts, labels, name="x", score=len) is None
    with pytest.raises(TouchstoneError, match=r"ensembles\.x\.rule: greedy finds weights on validation images"):
        member_weights("greedy", parts, labels[:0], name="x", score=len)


def test_rotated_means_average_each_seed_with_those_that_follow() -> None:
    probs = np.arange(12.0).reshape(3, 2, 2)
    out = rotated_means(probs, 2)
    assert out[0].tolist() == ((probs[0] + probs[1]) / 2).tolist()
    assert out[2].tolist() == ((probs[2] + probs[0]) / 2).tolist()
    assert np.array_equal(rotated_means(probs, 1), probs)

"""Temperatures, reliability and weights of members against what is known of them."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, softmax

from touchstone.errors import TouchstoneError
from touchstone.evaluation.calibration import reliability, scaled, temperatures
from touchstone.evaluation.ensemble_weights import greedy, mixture, of_truth
from touchstone.evaluation.ensembles import combine, found_weights, rotated_means
from touchstone.evaluation.scores import correct, expected_calibration_error


def sure_by(factor: float, *, several: bool = False, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(2, 4000, 3) whose logits are too large by a factor, and labels drawn from what they are without it."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(4000, 3)) * 2
    if several:
        labels = (rng.random((4000, 3)) < expit(logits)).astype(np.float32)
        return np.stack([expit(factor * logits)] * 2), labels
    true = softmax(logits, 1)
    labels = (true.cumsum(1) > rng.random((4000, 1))).argmax(1)
    return np.stack([softmax(factor * logits, 1)] * 2).astype(np.float32), labels


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_and_mends_what_is_said(factor: float, several: bool) -> None:
    probs, labels = sure_by(factor, several=several)
    found = temperatures(probs, labels)
    assert found.tolist() == pytest.approx([factor, factor], rel=0.08)
    out = scaled(probs, found, multi_label=several)
    assert out.dtype == probs.dtype
    table = reliability(out, labels)
    gap = (abs(table["confidence"] - table["accuracy"]) * table["images"]).sum() / table["images"].sum()
    assert gap < 0.02
    if not several:
        assert (out.argmax(2) == probs.argmax(2)).all(), "no decision changes"
        assert out.sum(2) == pytest.approx(np.ones((2, 4000)), abs=1e-5)
    assert temperatures(probs[:, :0], labels[:0]).tolist() == [1, 1]


def test_reliability_sums_up_to_the_expected_calibration_error() -> None:
    probs, labels = sure_by(3.0)
    table = reliability(probs, labels)
    assert table["images"].sum() == 8000
    ece = (abs(table["confidence"] - table["accuracy"]) * table["images"]).sum() / 8000
    assert ece == pytest.approx(expected_calibration_error(probs[0], labels), abs=1e-5)


def members(several: bool = False) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """good knows most, fair something, noise nothing."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 500)
    target = np.eye(3)[truth]
    out = {}
    for name, strength in (("good", 2.0), ("fair", 1.2), ("noise", 0.0)):
        logits = strength * target + rng.normal(size=(2, 500, 3))
        out[name] = expit(logits - 0.5) if several else softmax(logits, 2).astype(np.float32)
    return out, target.astype(np.float32) if several else truth


@pytest.mark.parametrize("several", [False, True])
def test_the_mixture_is_that_of_a_general_solver(several: bool) -> None:
    parts, labels = members(several)
    told = of_truth(np.stack(list(parts.values())), labels)
    found = mixture(np.stack(list(parts.values())), labels)
    solver = minimize(
        lambda w: -np.log(w @ told).mean(),
        np.full(3, 1 / 3),
        bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
    )
    assert found == pytest.approx(solver.x, abs=0.01)
    assert found.sum() == pytest.approx(1)


def test_greedy_takes_what_pays_and_is_no_worse_than_the_best_member() -> None:
    parts, labels = members()
    stack = np.stack(list(parts.values()))

    def accuracy(probs: np.ndarray) -> float:
        return float(correct(probs, labels).mean())

    weights = greedy(stack, labels, score=accuracy)
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > weights[2]
    assert accuracy(np.tensordot(weights, stack, 1)) >= max(accuracy(part) for part in stack)
    alone = greedy(np.stack([stack[0], stack[2]]), labels, score=lambda p: -abs(p - stack[0]).max())
    assert alone.tolist() == [1, 0], "what does not pay is not taken"


def test_weights_are_used_and_need_validation_images() -> None:
    parts, labels = members()
    weights = found_weights("weighted", parts, labels, name="x", score=len)
    assert weights is not None
    out = combine("weighted", parts, prefer="good", weights=weights)
    expected = sum(weights[name] * part.astype(float) for name, part in parts.items())
    assert out == pytest.approx(expected, abs=1e-6)
    assert found_weights("mean", parts, labels, name="x", score=len) is None
    with pytest.raises(TouchstoneError, match=r"ensembles\.x\.rule: greedy finds weights on validation images"):
        found_weights("greedy", parts, labels[:0], name="x", score=len)


def test_at_equal_compute_each_seed_is_a_mean_of_as_many() -> None:
    probs = np.arange(12.0).reshape(3, 2, 2)
    out = rotated_means(probs, 2)
    assert out[0].tolist() == ((probs[0] + probs[1]) / 2).tolist()
    assert out[2].tolist() == ((probs[2] + probs[0]) / 2).tolist()
    assert np.array_equal(rotated_means(probs, 1), probs)

"""Average precision against scikit-learn, torchmetrics and plain loops, ties and empty classes included."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torchmetrics.functional.classification import binary_average_precision

from touchstone.evaluation.average_precision import (
    average_precision,
    constant_precision,
    interpolated_precision,
    tail_accuracy,
)


def tables(count: int):
    """Random scores and labels: of few levels (many ties) or many, of rare and of common classes, of none."""
    rng = np.random.default_rng(0)
    for i in range(count):
        size = int(rng.integers(1, 60))
        scores = rng.integers(0, 5, size) / 4 if i % 2 else rng.random(size)
        yield scores, rng.random(size) < (0, 0.1, 0.5, 1)[i % 4]


def test_it_is_scikit_learns_and_torchmetrics() -> None:
    empty = 0
    for scores, positive in tables(1000):
        found = float(average_precision(scores, positive))
        if not positive.any():
            empty += 1
            assert np.isnan(found)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of one class alone
            assert found == pytest.approx(average_precision_score(positive, scores), abs=1e-9)
        other = binary_average_precision(torch.tensor(scores), torch.tensor(positive).long())
        assert found == pytest.approx(float(other), abs=1e-6)
    assert empty > 200


def by_loop(scores: np.ndarray, positive: np.ndarray) -> float:
    """The devkit's: at each recall the highest precision there or further on."""
    points = []
    for t in sorted(set(scores), reverse=True):
        taken = scores >= t
        points.append((positive[taken].sum() / positive.sum(), positive[taken].mean()))
    area, before = 0.0, 0.0
    for i, (recall, _) in enumerate(points):
        area += (recall - before) * max(precision for _, precision in points[i:])
        before = recall
    return area


def test_vocs_own_is_a_plain_loop_and_never_less() -> None:
    for scores, positive in tables(400):
        if positive.any():
            found = float(interpolated_precision(scores, positive))
            assert found == pytest.approx(by_loop(scores, positive), abs=1e-12)
            assert found >= float(average_precision(scores, positive)) - 1e-12


@pytest.mark.parametrize("measure", [average_precision, interpolated_precision])
def test_weights_are_how_often_an_image_counts(measure) -> None:
    rng = np.random.default_rng(1)
    scores, positive = rng.integers(0, 9, 40) / 8, rng.random(40) < 0.3
    weights = rng.multinomial(40, np.full(40, 1 / 40), 7)
    found = measure(scores, positive, weights)
    assert found.shape == (7,)
    for row, value in zip(weights, found, strict=True):
        assert value == pytest.approx(float(measure(scores.repeat(row), positive.repeat(row))), abs=1e-12)
    assert np.isnan(measure(scores, positive, weights * ~positive)).all(), "no positive image counts"


def test_constant_scores_have_the_share_of_positives() -> None:
    positive = np.array([True, False, False, True, False])
    assert constant_precision(positive) == 0.4 == float(average_precision(np.ones(5), positive))
    assert np.isnan(constant_precision(np.zeros(3, bool)))
    assert np.isnan(average_precision(np.zeros(0), np.zeros(0, bool)))


def test_tail_accuracy_is_a_plain_loop() -> None:
    for scores, positive in tables(400):
        if scores.max() < 0.5:
            assert np.isnan(tail_accuracy(scores, positive))
            continue
        shares = [positive[scores >= t].mean() for t in np.linspace(0.5, scores.max(), 20)]
        assert tail_accuracy(scores, positive) == pytest.approx(np.mean(shares), abs=1e-12)
    assert tail_accuracy(np.array([0.9, 0.6, 0.1]), np.array([True, False, True]), num_thresholds=2) == 0.75

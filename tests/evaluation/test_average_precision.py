"""Average precision against scikit-learn, torchmetrics and plain loops, with ties and empty classes."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torchmetrics.functional.classification import binary_average_precision

from touchstone.evaluation import average_precision as ours
from touchstone.evaluation.average_precision import mean_average_precision, precision_scorer, tail_accuracy
from touchstone.evaluation.metrics import metrics_of


def tables(count: int):
    """Random scores and labels: with few levels (many ties) or many; of rare, common, absent and universal classes."""
    rng = np.random.default_rng(0)
    for i in range(count):
        size = int(rng.integers(1, 60))
        scores = rng.integers(0, 5, size) / 4 if i % 2 else rng.random(size)
        yield scores, rng.random(size) < (0, 0.1, 0.5, 1)[i % 4]


def of_one_class(scores: np.ndarray, positive: np.ndarray, *, interpolated: bool = False) -> float:
    counts = np.ones((1, len(scores)))
    return float(
        precision_scorer(scores[None, :, None], positive[:, None] * 1.0, interpolated=interpolated)(counts)[0, 0]
    )


def test_it_is_that_of_scikit_learn_and_torchmetrics() -> None:
    empty = 0
    for scores, positive in tables(1000):
        value = mean_average_precision(scores[:, None], positive[:, None] * 1.0)
        if not positive.any():
            empty += 1
            assert np.isnan(value)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a single class
            assert value == pytest.approx(average_precision_score(positive, scores), abs=1e-9)
        other = binary_average_precision(torch.tensor(scores), torch.tensor(positive).long())
        assert value == pytest.approx(float(other), abs=1e-6)
    assert empty > 200


def by_loop(scores: np.ndarray, positive: np.ndarray) -> float:
    """As in VOC's development kit: at each recall the highest precision there or further on."""
    points = []
    for t in sorted(set(scores), reverse=True):
        taken = scores >= t
        points.append((positive[taken].sum() / positive.sum(), positive[taken].mean()))
    area, before = 0.0, 0.0
    for i, (recall, _) in enumerate(points):
        area += (recall - before) * max(precision for _, precision in points[i:])
        before = recall
    return area


def test_vocs_own_is_a_plain_loop_and_never_lower() -> None:
    for scores, positive in tables(400):
        if positive.any():
            value = of_one_class(scores, positive, interpolated=True)
            assert value == pytest.approx(by_loop(scores, positive), abs=1e-12)
            assert value >= of_one_class(scores, positive) - 1e-12


@pytest.mark.parametrize("interpolated", [False, True])
def test_counts_are_how_often_an_image_counts(interpolated: bool) -> None:
    rng = np.random.default_rng(1)
    scores, positive = rng.integers(0, 9, 40) / 8, rng.random(40) < 0.3
    counts = rng.multinomial(40, np.full(40, 1 / 40), 7).astype(float)
    score = precision_scorer(scores[None, :, None], positive[:, None] * 1.0, interpolated=interpolated)
    assert score(counts).shape == (7, 1)
    for row, [value] in zip(counts.astype(int), score(counts), strict=True):
        expected = of_one_class(scores.repeat(row), positive.repeat(row), interpolated=interpolated)
        assert value == pytest.approx(expected, abs=1e-12)
    assert np.isnan(score(counts * ~positive)).all(), "no positive image counts"


def test_equal_scores_reach_the_share_of_positives() -> None:
    positive = np.array([[1.0], [0], [0], [1], [0]])
    assert mean_average_precision(np.ones((5, 1)), positive) == 0.4
    constant = next(metric for metric in metrics_of(multi_label=True) if metric.key == "map_constant")
    assert constant.values(np.random.default_rng(0).random((2, 5, 1)), positive).tolist() == [0.4, 0.4]
    assert np.isnan(constant.values(np.zeros((1, 3, 1)), np.zeros((3, 1)))).all()
    assert np.isnan(mean_average_precision(np.zeros((0, 1)), np.zeros((0, 1))))


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 100, 101])
def test_sums_in_blocks_are_cumulative_sums(rows: int) -> None:
    values = np.random.default_rng(rows).integers(0, 9, (rows, 3)).astype(np.float32)
    np.testing.assert_array_equal(ours._cumulative(values), values.cumsum(0))


def test_tail_accuracy_is_a_plain_loop() -> None:
    for scores, positive in tables(400):
        if scores.max() < 0.5:
            assert np.isnan(tail_accuracy(scores, positive))
            continue
        shares = [positive[scores >= t].mean() for t in np.linspace(0.5, scores.max(), 20)]
        assert tail_accuracy(scores, positive) == pytest.approx(np.mean(shares), abs=1e-12)
    assert tail_accuracy(np.array([0.9, 0.6, 0.1]), np.array([True, False, True]), num_thresholds=2) == 0.75

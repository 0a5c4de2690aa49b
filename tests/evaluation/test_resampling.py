"""Scores in resamples against scores of the images repeated as often as they were drawn."""

import numpy as np
import pytest

from touchstone.evaluation.average_precision import mean_average_precision
from touchstone.evaluation.resampling import SCORERS, _accumulated, drawn, resampled
from touchstone.evaluation.scores import score

N, SEEDS, CLASSES = 70, 2, 4


def made() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES - 1, N)  # of the last class no image is there
    logits = rng.normal(size=(SEEDS, N, CLASSES)) + 1.5 * np.eye(CLASSES)[labels]
    probs = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    return probs.astype(np.float32), labels


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "nll", "ece"])
def test_every_image_once_is_the_score_itself(metric: str) -> None:
    probs, labels = made()
    found = SCORERS[metric](probs, labels)(np.ones((1, N), np.float32))
    assert found.mean() == pytest.approx(score(probs, labels)[metric], abs=1e-5)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "nll", "ece"])
def test_a_resample_is_scored_as_the_images_it_holds(metric: str) -> None:
    probs, labels = made()
    found = resampled(metric, probs, labels, num_resamples=300, seed=3)
    assert found.shape == (300, SEEDS)
    for start, r in ((0, 0), (0, 249), (250, 17)):
        counts = drawn(N, start, 250 if start == 0 else 50, seed=3)[r]
        assert counts.sum() == N
        rows = np.repeat(np.arange(N), counts.astype(int))
        if set(labels[rows]) == set(labels):  # else macro F1 is of fewer classes there
            expected = score(probs[:, rows], labels[rows])[metric]
            assert found[start + r].mean() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("levels", [None, 4])  # of scores: hardly any ties, and many
def test_mean_ap_is_that_of_the_images_repeated(levels: int | None) -> None:
    probs, single = made()
    probs = probs if levels is None else np.round(probs * levels) / np.float32(levels)
    labels = np.eye(CLASSES, dtype=np.float32)[single]
    labels[:9, 0] = np.nan
    labels[np.flatnonzero(labels[:, 2] == 1)[2:], 2] = 0  # two positives, which resamples may lack
    found = resampled("map", probs, labels, num_resamples=40, seed=5)
    lacking = 0
    for value, counts in zip(found, drawn(N, 0, 40, seed=5), strict=True):
        rows = np.repeat(np.arange(N), counts.astype(int))
        lacking += not (labels[rows, 2] == 1).any()
        expected = [mean_average_precision(p[rows], labels[rows]) for p in probs]
        assert value.tolist() == pytest.approx(expected, abs=1e-6)
    assert lacking


def test_mean_ap_is_undefined_where_a_resample_holds_no_positive_image() -> None:
    labels = np.zeros((N, 2), np.float32)
    labels[3, 0] = 1
    probs = np.linspace(0, 1, SEEDS * N * 2, dtype=np.float32).reshape(SEEDS, N, 2)
    found = resampled("map", probs, labels, num_resamples=50, seed=0)
    without = drawn(N, 0, 50, seed=0)[:, 3] == 0
    assert 0 < without.sum() < 50
    assert np.array_equal(np.isnan(found), np.repeat(without[:, None], SEEDS, 1))


def test_draws_are_even_and_the_same_for_all_runs() -> None:
    counts = drawn(50, 0, 2000, seed=1)
    assert (counts.sum(1) == 50).all()
    assert counts.mean(0) == pytest.approx(np.ones(50), abs=0.1)
    assert counts.var() == pytest.approx(1 - 1 / 50, abs=0.05)
    assert np.array_equal(counts, drawn(50, 0, 2000, seed=1))


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 100, 101])
def test_sums_in_blocks_are_cumulative_sums(rows: int) -> None:
    values = np.random.default_rng(rows).integers(0, 9, (rows, 3)).astype(np.float32)
    np.testing.assert_array_equal(_accumulated(values), values.cumsum(0))

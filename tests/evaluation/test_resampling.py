"""Metrics in resamples against the metrics of the images repeated as often as they were drawn."""

import numpy as np
import pytest

from touchstone.evaluation import metrics
from touchstone.evaluation.average_precision import mean_average_precision
from touchstone.evaluation.metrics import Metric, metrics_of
from touchstone.evaluation.resampling import draw_counts, resample

N, SEEDS, CLASSES = 70, 2, 4
ALL = [(metric, multi_label) for multi_label in (False, True) for metric in metrics_of(multi_label=multi_label)]
IDS = [f"{metric.key}, {'several labels' if multi_label else 'one class'}" for metric, multi_label in ALL]


def made(*, multi_label: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Predictions that know the labels a little; no image has the last class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES - 1, N)
    one_hot = np.eye(CLASSES, dtype=np.float32)[labels]
    logits = rng.normal(size=(SEEDS, N, CLASSES)) + 1.5 * one_hot
    probs = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    if multi_label:
        one_hot[:9, 0] = np.nan
        return (1 / (1 + np.exp(0.7 - logits))).astype(np.float32), one_hot
    return probs.astype(np.float32), labels


def predictions(metric: Metric, *, multi_label: bool) -> tuple[np.ndarray, np.ndarray]:
    probs, labels = made(multi_label=multi_label)
    return (probs >= 0.5 if metric.of_decisions else probs), labels


@pytest.mark.parametrize(("metric", "multi_label"), ALL, ids=IDS)
def test_each_image_once_is_the_score_itself(metric: Metric, multi_label: bool) -> None:
    probs, labels = predictions(metric, multi_label=multi_label)
    expected = metric.values(probs, labels)
    once = metric.scorer(probs, labels)
    assert once(np.ones((1, N)))[0] == pytest.approx(expected, abs=1e-6 if metric.exact else 1e-15)
    assert once(np.ones((1, N), np.float32))[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("metric", "multi_label"), ALL, ids=IDS)
def test_a_resample_is_scored_as_the_images_it_holds(metric: Metric, multi_label: bool) -> None:
    probs, labels = predictions(metric, multi_label=multi_label)
    scores = resample(metric, probs, labels, num_resamples=300, seed=3)
    assert scores.shape == (300, SEEDS)
    for start, r in ((0, 0), (0, 249), (250, 17)):
        counts = draw_counts(N, start, 250 if start == 0 else 50, seed=3)[r]
        assert counts.sum() == N
        rows = np.repeat(np.arange(N), counts.astype(int))
        assert multi_label or set(labels[rows]) == set(labels), "macro F1 of fewer classes would be another"
        expected = metric.values(probs[:, rows], labels[rows])
        assert scores[start + r] == pytest.approx(expected, abs=1e-5)


def test_macro_f1_of_many_classes_is_the_same_from_sparse_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(200) % 100
    probs = random.random((SEEDS, 200, 100), np.float32) + 0.6 * np.eye(100, dtype=np.float32)[labels]
    [metric] = [metric for metric in metrics_of(multi_label=False) if metric.key == "macro_f1"]
    counts = draw_counts(200, 0, 20, seed=1)
    assert metrics.DENSE < 100
    sparse = metric.scorer(probs, labels)(counts)
    monkeypatch.setattr(metrics, "DENSE", 100)
    assert sparse.tolist() == metric.scorer(probs, labels)(counts).tolist()
    assert 0 < sparse.min() < sparse.max() < 1


@pytest.mark.parametrize("levels", [None, 4])  # of scores: hardly any ties, and many
def test_mean_ap_is_that_of_the_images_repeated(levels: int | None) -> None:
    probs, labels = made(multi_label=True)
    probs = probs if levels is None else np.round(probs * levels) / np.float32(levels)
    labels[np.flatnonzero(labels[:, 2] == 1)[2:], 2] = 0  # two positive images, which resamples may lack
    scores = resample(metrics_of(multi_label=True)[0], probs, labels, num_resamples=40, seed=5)
    lacking = 0
    for values, counts in zip(scores, draw_counts(N, 0, 40, seed=5), strict=True):
        rows = np.repeat(np.arange(N), counts.astype(int))
        lacking += not (labels[rows, 2] == 1).any()
        expected = [mean_average_precision(p[rows], labels[rows]) for p in probs]
        assert values.tolist() == pytest.approx(expected, abs=1e-6)
    assert lacking


def test_mean_ap_is_undefined_where_a_resample_holds_no_positive_image() -> None:
    labels = np.zeros((N, 2), np.float32)
    labels[3, 0] = 1
    probs = np.linspace(0, 1, SEEDS * N * 2, dtype=np.float32).reshape(SEEDS, N, 2)
    scores = resample(metrics_of(multi_label=True)[0], probs, labels, num_resamples=50, seed=0)
    without = draw_counts(N, 0, 50, seed=0)[:, 3] == 0
    assert 0 < without.sum() < 50
    assert np.array_equal(np.isnan(scores), np.repeat(without[:, None], SEEDS, 1))


def test_draws_are_even_and_the_same_for_all_runs() -> None:
    counts = draw_counts(50, 0, 2000, seed=1)
    assert (counts.sum(1) == 50).all()
    assert counts.mean(0) == pytest.approx(np.ones(50), abs=0.1)
    assert counts.var() == pytest.approx(1 - 1 / 50, abs=0.05)
    assert np.array_equal(counts, draw_counts(50, 0, 2000, seed=1))

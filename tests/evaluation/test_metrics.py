"""The metrics of one class an image against independent code; a metric added in one place."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from touchstone.config.schema.evaluation import Compare
from touchstone.evaluation import metrics
from touchstone.evaluation.evaluate import evaluate
from touchstone.evaluation.measures import measure
from touchstone.evaluation.metrics import ECE, Metric, Scorer, divided, metrics_of, named, primary, primary_key
from touchstone.evaluation.results import Result
from touchstone.evaluation.scores import score
from touchstone.studies import revision_text
from touchstone.studies.revisions import Revision, compare_revisions

CLASSES = ["a", "b", "c"]


def made(num_images: int = 240, strength: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Predictions (3, N, 3) of classes of unequal size, in float32."""
    labels = np.arange(num_images) % 7 % 3
    logits = strength * np.eye(3)[labels] + np.random.default_rng(seed).normal(size=(3, num_images, 3))
    return (np.exp(logits) / np.exp(logits).sum(2, keepdims=True)).astype(np.float32), labels


def test_scores_are_those_of_scikit_learn_and_torchmetrics() -> None:
    probs, labels = made()
    row = score(probs, labels)
    assert row["macro_f1"] == pytest.approx(np.mean([f1_score(labels, p.argmax(1), average="macro") for p in probs]))
    wide = [p / p.sum(1, keepdims=True) for p in probs.astype(float)]
    assert row["nll"] == pytest.approx(np.mean([log_loss(labels, p) for p in wide]), abs=1e-12)
    theirs = [
        multiclass_calibration_error(torch.tensor(p), torch.tensor(labels), num_classes=3, n_bins=15) for p in probs
    ]
    assert row["ece"] == np.mean([float(value) for value in theirs])


def test_a_probability_just_above_one_counts_as_one() -> None:
    """As where the rounded weights of an ensemble sum to more than 1; torchmetrics would take all for logits."""
    probs, labels = np.array([[[1.000001, 0.0], [0.8, 0.2]]], np.float32), np.array([0, 0])
    assert ECE.values(probs, labels)[0] == pytest.approx(0.1, abs=1e-5)


def test_a_key_has_one_name_and_one_unit() -> None:
    for metric in (*metrics_of(multi_label=False), *metrics_of(multi_label=True)):
        same = named(metric.key)
        assert (same.heading, same.lower_is_better) == (metric.heading, metric.lower_is_better)
        assert not (metric.of_decisions and metric.compared)


def test_runs_are_judged_by_accuracy_or_mean_average_precision() -> None:
    assert [primary(multi_label=kind).key for kind in (False, True)] == ["accuracy", "map"]
    assert primary_key({"accuracy": 0.9, "map": 0.5}) == "map"
    assert primary_key(["accuracy", "nll"]) == "accuracy"


def balanced_accuracy(probs: np.ndarray, labels: np.ndarray) -> Scorer:
    """The mean over the classes of the share of their images that are right."""
    of_class = np.eye(probs.shape[2])[labels]
    right = [of_class * (p.argmax(1) == labels)[:, None] for p in probs]
    images, hits = (metrics.weighted_sums(columns) for columns in (of_class, np.concatenate(right, 1)))

    def scorer(counts: np.ndarray) -> np.ndarray:
        sums = hits(counts).reshape(len(counts), len(probs), -1)
        return np.nanmean(divided(sums, images(counts)[:, None]), 2)

    return scorer


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric is added by its entry alone."""
    entry = Metric("balanced_accuracy", "balanced accuracy", balanced_accuracy)
    monkeypatch.setattr(metrics, "ONE_CLASS", (*metrics.ONE_CLASS, entry))


@pytest.mark.usefixtures("added")
def test_an_added_metric_is_in_metrics_json() -> None:
    probs, labels = made()
    row = evaluate([Result("run", probs, "")], measure(labels, Compare(num_resamples=100), seed=0))["run"]
    expected = np.mean([balanced_accuracy_score(labels, p.argmax(1)) for p in probs])
    assert row["balanced_accuracy"] == pytest.approx(expected, abs=1e-5)
    assert row["balanced_accuracy"] != row["accuracy"]


@pytest.mark.usefixtures("added")
def test_an_added_metric_is_compared_between_revisions_with_an_interval() -> None:
    (weak, labels), (strong, _) = made(strength=0.5), made(strength=3.0, seed=1)
    table = pd.DataFrame({"id": [str(i) for i in range(len(labels))], "label": [CLASSES[k] for k in labels]})
    old, new = (
        Revision(n, {"classes": CLASSES}, table, [0, 1, 2], {"run": p}, []) for n, p in (("old", weak), ("new", strong))
    )
    report = compare_revisions(old, new, Compare(num_resamples=200), seed=0)
    change = next(change for change in report.changes if change.metric == "balanced_accuracy")
    assert change.after == pytest.approx(np.mean([balanced_accuracy_score(labels, p.argmax(1)) for p in strong]))
    assert change.low < change.after - change.before < change.high
    assert change.verdict == "better"
    assert re.search(rf"balanced accuracy % +{100 * change.before:.2f} ", revision_text.text(report))

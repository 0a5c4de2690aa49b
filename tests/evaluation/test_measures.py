"""Scores of several labels an image against independent code; thresholds; votes; verdicts on mean average precision."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score
from torchmetrics.functional.classification import multilabel_average_precision

from touchstone.config.sections import Compare
from touchstone.evaluation import label_scores
from touchstone.evaluation.average_precision import mean_average_precision, tail_accuracy
from touchstone.evaluation.compare import Comparison, Paired, conclude
from touchstone.evaluation.ensembles import combine
from touchstone.evaluation.measures import MeanAP, measure
from touchstone.evaluation.probs import predictions
from touchstone.evaluation.resampling import resampled
from touchstone.evaluation.thresholds import choose, decided

COMPARE = Compare(num_resamples=400)
NAN = np.nan


def made(
    num_items: int = 80, num_seeds: int = 2, strength: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Probs (seeds, N, 4) that know the labels (N, 4) a little; the last class has no positive image."""
    rng = np.random.default_rng(0)
    labels = (rng.random((num_items, 4)) < [0.5, 0.2, 0.9, 0.0]).astype(np.float32)
    labels[:5, 0] = NAN
    noise = np.random.default_rng(seed + 1).normal(size=(num_seeds, num_items, 4))
    logits = strength * (np.nan_to_num(labels) - 0.5) * 2 + noise
    return (1 / (1 + np.exp(-logits))).astype(np.float32), labels


def said(found: Paired) -> Comparison:
    return conclude(found, confidence=0.95)


def test_scores_are_those_of_scikit_learn_and_torchmetrics() -> None:
    probs, labels = made()
    found = label_scores.score(probs, labels, np.full(4, 0.5), COMPARE)
    counts = ~np.isnan(labels)
    each = [
        [average_precision_score(labels[counts[:, k], k], p[counts[:, k], k].astype(float)) for k in range(3)]
        for p in probs
    ]
    assert found["map"] == pytest.approx(np.mean(each), abs=1e-9)
    assert found["map_sd"] == pytest.approx(np.std(np.mean(each, 1), ddof=1), abs=1e-9)
    assert found["macro_f1"] == pytest.approx(
        np.mean([[f1_score(labels[counts[:, k], k], p[counts[:, k], k] >= 0.5) for k in range(3)] for p in probs])
    )
    assert found["micro_f1"] == pytest.approx(np.mean([f1_score(labels[counts], p[counts] >= 0.5) for p in probs]))
    assert found["accuracy"] == pytest.approx(np.mean([(p[counts] >= 0.5) == labels[counts] for p in probs]))
    sure = np.where(labels[counts] == 1, probs[:, counts], 1 - probs[:, counts])
    assert found["nll"] == pytest.approx(-np.log(sure).mean(), rel=1e-5)
    assert found["map_constant"] == pytest.approx(np.mean([labels[counts[:, k], k].mean() for k in range(3)]))
    assert found["map_voc"] >= found["map"]
    ours = mean_average_precision(probs[0, :, 1:3], labels[:, 1:3])
    theirs = multilabel_average_precision(
        torch.tensor(probs[0, :, 1:3]), torch.tensor(labels[:, 1:3]).long(), num_labels=2
    )
    assert ours == pytest.approx(float(theirs), abs=1e-6)


def test_a_class_without_positive_images_is_in_no_mean() -> None:
    probs, labels = made()
    table = label_scores.per_class(probs, labels, np.full(4, 0.5), COMPARE)
    assert table.loc[3, ["ap", "ap_voc", "ap_constant", "f1"]].isna().all()
    assert table["n_positive"].tolist() == np.nansum(labels, 0).astype(int).tolist()
    assert table["n_test"].tolist() == [75, 80, 80, 80]
    assert set(label_scores.precision_recall(probs, labels, list("abcd"))["class"]) == set("abc")
    assert np.isnan(table.loc[3, "tail_accuracy"])
    assert label_scores.score(probs, labels, np.full(4, 0.5), COMPARE)["tail_accuracy"] == pytest.approx(
        table.loc[:2, "tail_accuracy"].mean(), rel=0.05
    )
    none = label_scores.score(probs, np.zeros_like(labels), np.full(4, 0.5), COMPARE)
    assert "map" not in none
    assert none["micro_f1"] == 0


def test_tail_accuracy_follows_its_parameters() -> None:
    scores, positive = np.array([0.95, 0.9, 0.8, 0.6]), np.array([True, True, False, True])
    assert tail_accuracy(scores, positive, num_thresholds=2, lowest=0.5) == pytest.approx((0.75 + 1) / 2)
    assert tail_accuracy(scores, positive, num_thresholds=3, lowest=0.85) == 1.0
    assert np.isnan(tail_accuracy(scores, positive, lowest=0.96))


def test_thresholds_have_the_best_f1_and_are_half_where_nothing_is_known() -> None:
    probs, labels = made(num_items=200)
    found = choose(probs, labels, rule="f1")
    assert found[3] == 0.5
    for k in range(3):
        counts = ~np.isnan(labels[:, k])

        def mean_f1(t: float, k: int = k, counts: np.ndarray = counts) -> float:
            return float(np.mean([f1_score(labels[counts, k], p[counts, k] >= np.float32(t)) for p in probs]))

        assert mean_f1(found[k]) == pytest.approx(max(mean_f1(t / 100) for t in range(1, 100)))
    assert choose(probs, labels, rule="half").tolist() == [0.5] * 4
    assert choose(probs[:, :0], labels[:0], rule="f1").tolist() == [0.5] * 4


def test_runs_are_paired() -> None:
    probs, labels = made(num_items=40, num_seeds=3)
    same = said(MeanAP(labels, COMPARE, seed=5).compared(probs, probs))
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_verdicts_on_mean_ap() -> None:
    weak, labels = made(num_items=300, num_seeds=3, strength=0.3, seed=0)
    strong, _ = made(num_items=300, num_seeds=3, strength=1.5, seed=10)
    equal, _ = made(num_items=300, num_seeds=3, strength=0.3, seed=20)
    judge = measure(labels, COMPARE, seed=0)
    found = said(judge.compared(strong, weak))
    assert found.word == "helps"
    assert found.value == pytest.approx(judge.value(strong, labels) - judge.value(weak, labels))
    assert said(judge.compared(weak, strong)).word == "hurts"
    assert said(judge.compared(equal, weak)).word == "inconclusive"
    row = judge.scores(weak, np.full(4, 0.5))
    assert row["map_low"] < row["map"] < row["map_high"]
    best = judge.scores(made(num_items=300, num_seeds=3, strength=9.0)[0], np.full(4, 0.5))
    assert best["map_high"] == 1, "no more than there is"
    with pytest.raises(ValueError, match="expected one a class"):
        judge.scores(weak, None)


def test_the_interval_holds_what_it_should() -> None:
    """About the mean AP of 200 draws of a test set, 95 % of the intervals hold the true one (one seed: items alone)."""
    rng = np.random.default_rng(1)
    num_items, inside = 100, 0

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = (rng.random((count, 1)) < 0.4).astype(np.float32)
        return (labels + rng.normal(size=(count, 1))).astype(np.float32), labels

    truth = mean_average_precision(*draw(200_000))
    for study in range(200):
        scores, labels = draw(num_items)
        by_seed = resampled("map", scores[None], labels, num_resamples=200, seed=study)
        value = mean_average_precision(scores, labels)
        found = said(Paired(np.array([value]), by_seed))
        inside += found.low <= truth <= found.high
    assert inside >= 178


def test_labels_are_voted_on_one_by_one() -> None:
    members = {
        "a": np.array([[[0.9, 0.1, 0.4]]], np.float32),
        "b": np.array([[[0.8, 0.3, 0.4]]], np.float32),
        "c": np.array([[[0.1, 0.9, 0.3]]], np.float32),
        "d": np.array([[[0.2, 0.8, 0.2]]], np.float32),
    }
    limits = {name: np.array([0.5, 0.5, 0.35]) for name in members}
    for prefer, expected in (("a", [True, False, True]), ("d", [False, True, False])):
        out = combine("majority", members, prefer=prefer, thresholds=limits)
        assert decided(out, np.full(3, 0.5))[0, 0].tolist() == expected, "2 against 2: the preferred member decides"
        assert out.min() > 0
        assert out.max() < 1
    three = {name: members[name] for name in "abc"}
    out = combine("majority", three, prefer="c", thresholds={name: limits[name] for name in three})
    assert decided(out, np.full(3, 0.5))[0, 0].tolist() == [True, False, True]
    assert combine("mean", members, prefer="a", thresholds=limits)[0, 0].tolist() == pytest.approx([0.5, 0.525, 0.325])


def test_predictions_name_all_labels() -> None:
    probs = np.array([[[0.9, 0.6], [0.1, 0.2]], [[0.7, 0.6], [0.1, 0.0]]], np.float32)
    table = predictions(probs, ["y.png", "x.png"], ["cat", "dog"], np.array([0.5, 0.5]))
    assert table.to_dict("list") == {
        "file": ["x.png", "y.png"],
        "label": ["", "cat|dog"],
        "p(cat)": pytest.approx([0.1, 0.8]),
        "p(dog)": pytest.approx([0.1, 0.6]),
    }

"""Several labels an image: scores against independent code, thresholds, votes, verdicts on mean average precision."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score
from torchmetrics.functional.classification import multilabel_average_precision

from touchstone.config.schema.evaluation import Compare, Ensemble
from touchstone.config.settings import Settings
from touchstone.evaluation.average_precision import mean_average_precision, tail_accuracy
from touchstone.evaluation.compare import Comparison, Paired, compare_paired, paired_resampled
from touchstone.evaluation.compare import judge as judge_family
from touchstone.evaluation.ensembles import combine
from touchstone.evaluation.measures import measure
from touchstone.evaluation.metrics import primary
from touchstone.evaluation.probs import predictions
from touchstone.evaluation.resampling import resample
from touchstone.evaluation.scores import per_class, precision_recall, score
from touchstone.evaluation.thresholds import choose, member_thresholds, thresholds_of

COMPARE = Compare(num_resamples=400)
HALF = np.full(4, 0.5)


def made(
    num_images: int = 80, num_seeds: int = 2, strength: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions (seeds, N, 4) that know the labels (N, 4) a little; the last class has no positive image."""
    rng = np.random.default_rng(0)
    labels = (rng.random((num_images, 4)) < [0.5, 0.2, 0.9, 0.0]).astype(np.float32)
    labels[:5, 0] = np.nan
    noise = np.random.default_rng(seed + 1).normal(size=(num_seeds, num_images, 4))
    logits = strength * (np.nan_to_num(labels) - 0.5) * 2 + noise
    return (1 / (1 + np.exp(-logits))).astype(np.float32), labels


def compared(paired: Paired) -> Comparison:
    return compare_paired(paired, confidence=0.95)


def word(comparison: Comparison) -> str:
    return judge_family([comparison])[0].word


def test_scores_are_those_of_scikit_learn_and_torchmetrics() -> None:
    probs, labels = made()
    row = score(probs, labels, thresholds=HALF, compare=COMPARE)
    counted = ~np.isnan(labels)
    by_class = [
        [average_precision_score(labels[counted[:, k], k], p[counted[:, k], k].astype(float)) for k in range(3)]
        for p in probs
    ]
    assert row["map"] == pytest.approx(np.mean(by_class), abs=1e-9)
    assert row["map_sd"] == pytest.approx(np.std(np.mean(by_class, 1), ddof=1), abs=1e-9)
    assert row["macro_f1"] == pytest.approx(
        np.mean([[f1_score(labels[counted[:, k], k], p[counted[:, k], k] >= 0.5) for k in range(3)] for p in probs])
    )
    assert row["micro_f1"] == pytest.approx(np.mean([f1_score(labels[counted], p[counted] >= 0.5) for p in probs]))
    assert row["accuracy"] == pytest.approx(np.mean([(p[counted] >= 0.5) == labels[counted] for p in probs]))
    sure = np.where(labels[counted] == 1, probs[:, counted], 1 - probs[:, counted])
    assert row["nll"] == pytest.approx(-np.log(sure).mean(), rel=1e-5)
    assert row["map_constant"] == pytest.approx(np.mean([labels[counted[:, k], k].mean() for k in range(3)]))
    assert row["map_voc"] >= row["map"]
    ours = mean_average_precision(probs[0, :, 1:3], labels[:, 1:3])
    theirs = multilabel_average_precision(
        torch.tensor(probs[0, :, 1:3]), torch.tensor(labels[:, 1:3]).long(), num_labels=2
    )
    assert ours == pytest.approx(float(theirs), abs=1e-6)


def test_a_class_without_positive_images_is_in_no_mean() -> None:
    probs, labels = made()
    table = per_class(probs, labels, HALF, COMPARE)
    assert table.loc[3, ["ap", "ap_voc", "ap_constant", "f1"]].isna().all()
    assert table["n_positive"].tolist() == np.nansum(labels, 0).astype(int).tolist()
    assert table["n_test"].tolist() == [75, 80, 80, 80]
    assert set(precision_recall(probs, labels, list("abcd"))["class"]) == set("abc")
    assert np.isnan(table.loc[3, "tail_accuracy"])
    row = score(probs, labels, thresholds=HALF, compare=COMPARE)
    assert row["tail_accuracy"] == pytest.approx(table.loc[:2, "tail_accuracy"].mean())
    none = score(probs, np.zeros_like(labels), thresholds=HALF, compare=COMPARE)
    assert "map" not in none
    assert none["micro_f1"] == 0


def test_tail_accuracy_follows_its_parameters() -> None:
    scores, positive = np.array([0.95, 0.9, 0.8, 0.6]), np.array([True, True, False, True])
    assert tail_accuracy(scores, positive, num_thresholds=2, lowest=0.5) == pytest.approx((0.75 + 1) / 2)
    assert tail_accuracy(scores, positive, num_thresholds=3, lowest=0.85) == 1.0
    assert np.isnan(tail_accuracy(scores, positive, lowest=0.96))


def test_thresholds_reach_the_best_f1_and_are_one_half_without_positive_images() -> None:
    probs, labels = made(num_images=200)
    thresholds = choose(probs, labels, rule="f1")
    assert thresholds[3] == 0.5
    for k in range(3):
        counted = ~np.isnan(labels[:, k])

        def mean_f1(t: float, k: int = k, counted: np.ndarray = counted) -> float:
            return float(np.mean([f1_score(labels[counted, k], p[counted, k] >= np.float32(t)) for p in probs]))

        assert mean_f1(thresholds[k]) == pytest.approx(max(mean_f1(t / 100) for t in range(1, 100)))
    assert choose(probs, labels, rule="half").tolist() == [0.5] * 4
    assert choose(probs[:, :0], labels[:0], rule="f1").tolist() == [0.5] * 4


def test_runs_and_ensembles_have_the_thresholds_of_their_rule() -> None:
    probs, labels = made(num_images=200)
    settings = Settings.model_construct(
        ensembles={
            "vote": Ensemble(rule="majority", members=("a", "b"), thresholds="f1"),
            "mean": Ensemble(rule="mean", members=("a", "b"), thresholds="f1"),
        },
        compare=Compare(thresholds="half"),
    )
    best, one_class = choose(probs, labels, rule="f1").tolist(), np.zeros(200, np.int64)
    assert best != HALF.tolist()
    own = {name: thresholds_of(name, probs, labels, settings) for name in ("a", "vote", "mean")}
    assert own["a"].tolist() == HALF.tolist(), "by compare.thresholds"
    assert own["vote"].tolist() == HALF.tolist(), "its members' votes are decided already"
    assert own["mean"].tolist() == best
    assert member_thresholds("vote", {"a": probs}, labels, settings)["a"].tolist() == best
    assert thresholds_of("a", probs, one_class, settings) is None
    assert member_thresholds("vote", {"a": probs}, one_class, settings) is None


def test_runs_are_paired() -> None:
    probs, labels = made(num_images=40, num_seeds=3)
    same = compared(measure(labels, COMPARE, seed=5).compared(probs, probs))
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_verdicts_on_mean_ap() -> None:
    weak, labels = made(num_images=300, num_seeds=3, strength=0.3, seed=0)
    strong, _ = made(num_images=300, num_seeds=3, strength=1.5, seed=10)
    equal, _ = made(num_images=300, num_seeds=3, strength=0.3, seed=20)
    judge = measure(labels, COMPARE, seed=0)
    gain = compared(judge.compared(strong, weak))
    assert word(gain) == "helps"
    assert gain.value == pytest.approx(judge.value(strong, labels) - judge.value(weak, labels))
    assert word(compared(judge.compared(weak, strong))) == "hurts"
    assert word(compared(judge.compared(equal, weak))) == "inconclusive"
    row = judge.scores(weak, HALF)
    assert row["map_low"] < row["map"] < row["map_high"]
    best = judge.scores(made(num_images=300, num_seeds=3, strength=9.0)[0], HALF)
    assert best["map_high"] == 1, "a share is at most 1"
    with pytest.raises(ValueError, match="expected one for each class"):
        judge.scores(weak, None)


def test_intervals_of_mean_ap_hold_the_true_value() -> None:
    """About 95 % of the intervals of 200 test sets with one seed hold the true mean AP."""
    rng = np.random.default_rng(1)
    num_images, inside = 100, 0

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = (rng.random((count, 1)) < 0.4).astype(np.float32)
        return (labels + rng.normal(size=(count, 1))).astype(np.float32), labels

    truth = mean_average_precision(*draw(200_000))
    for study in range(200):
        scores, labels = draw(num_images)
        by_seed = resample(primary(multi_label=True), scores[None], labels, num_resamples=200, seed=study)
        value = mean_average_precision(scores, labels)
        interval = compared(paired_resampled(np.array([value]), by_seed, num_images))
        inside += interval.low <= truth <= interval.high
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
        assert (out >= 0.5)[0, 0].tolist() == expected, "2 against 2: the preferred member decides"
        assert out.min() > 0
        assert out.max() < 1
    three = {name: members[name] for name in "abc"}
    out = combine("majority", three, prefer="c", thresholds={name: limits[name] for name in three})
    assert (out >= 0.5)[0, 0].tolist() == [True, False, True]
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


def test_five_frames_of_an_object_count_for_fewer_images() -> None:
    """Frames of an object are right together or not, with a correlation of one half: the design effect is 1 + 4 / 2."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(2000), 5)
    shared, own = rng.random(2000)[groups] < 0.8, rng.random(10_000) < 0.8
    right = np.where(rng.random(10_000) < np.sqrt(0.5), shared, own)
    probs = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])[None].astype(np.float32)
    judge = measure(np.zeros(10_000, np.int64), COMPARE, seed=0, groups=groups)
    found = judge.dependence(probs)
    assert found["group_correlation"] == pytest.approx(0.5, abs=0.05)
    assert found["effective_images"] == pytest.approx(10_000 / 3, rel=0.06)
    assert measure(np.zeros(10_000, np.int64), COMPARE, seed=0).dependence(probs) == {}


def test_resamples_draw_whole_groups() -> None:
    scores, labels = made(num_images=80)
    groups = np.repeat(np.arange(8), 10)
    given = {"num_resamples": 400, "seed": 0}
    metric = primary(multi_label=True)
    by_image, by_group = (resample(metric, scores, labels, **given, groups=g) for g in (None, groups))
    alone = resample(metric, scores, labels, **given, groups=np.arange(80))
    assert np.array_equal(by_image, alone, equal_nan=True)
    assert not np.array_equal(by_image, by_group, equal_nan=True)
    copies = np.repeat(scores[:, ::10], 10, 1), np.repeat(labels[::10], 10, 0)
    spread = [np.nanstd(resample(metric, *copies, **given, groups=g)) for g in (None, groups)]
    assert spread[1] > 1.5 * spread[0], "ten copies of an image tell no more than one"

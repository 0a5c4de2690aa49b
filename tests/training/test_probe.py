"""A probe finds the optimum of logistic regression on cached features, and chooses its C without leaking images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kit.images import image_set
from kit.training import labelled, new_run, same
from touchstone.config.schema.data import Arm
from touchstone.config.schema.probe import Probe
from touchstone.data.imageset import ImageSet
from touchstone.data.training_set import TrainingSet, combine
from touchstone.errors import TouchstoneError
from touchstone.models import predict
from touchstone.models.linear_head import linear_head
from touchstone.models.nets import build
from touchstone.training.classifier import build_classifier
from touchstone.training.folds import folds, units
from touchstone.training.probe import chosen, cross_validated, features_of, fit_probe, is_repeated
from touchstone.training.regression import Regression
from touchstone.training.run import curve, history_table, train
from touchstone.training.setup import TrainingRun

PROBE = {"net": "lenet", "weights": "random", "trainable": ("head",), "select": "last"}


def probe_run(tmp_path: Path, **changes) -> TrainingRun:
    run = new_run(**{"probe": Probe(C=0.1), **PROBE, **changes})
    return replace(run, features=tmp_path / "features")


def points(count: int, *, classes: int, dimensions: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clouds, float32 (N, D), with means and scales that differ by dimension; and their classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = rng.normal(size=(classes, dimensions))
    cloud = centres[labels] + 1.5 * rng.normal(size=(count, dimensions))
    return (cloud * np.geomspace(0.1, 10, dimensions) + 5).astype(np.float32), labels


def fitted(features: np.ndarray, labels: np.ndarray, C: float, *, classes: int, **more):
    return Regression(features, labels, rows=np.arange(len(labels)), num_classes=classes, **more).fit(C)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("C", [0.001, 1.0])
def test_the_layer_answers_as_scikit_learn_does_after_standardisation(classes: int, C: float) -> None:
    features, labels = points(60, classes=classes, dimensions=7)
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-9, max_iter=10_000))
    expected = reference.fit(features.astype(np.float64), labels).predict_proba(features.astype(np.float64))
    logits = fitted(features, labels, C, classes=classes).logits(features.astype(np.float64))
    found = torch.softmax(torch.from_numpy(logits), 1).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_the_layer_is_at_the_optimum_of_the_weighted_loss() -> None:
    """The gradient is taken by torch, which shares no code with the solver."""
    features, labels = points(90, classes=3, dimensions=5)
    features, labels = features[:70], np.where(labels[:70] == 2, 1, labels[:70])  # two thirds are of one class
    labels[:5] = 2
    weights = np.array([2.0, 0.5, 4.0])
    layer = fitted(features, labels, 0.3, classes=3, weights=weights)
    x = torch.from_numpy((features - features.mean(0, dtype=np.float64)) / features.std(0, dtype=np.float64))
    spread = features.std(0, dtype=np.float64)
    weight = torch.tensor(layer.weight * spread, requires_grad=True)
    bias = torch.tensor(layer.bias + layer.weight @ features.mean(0, dtype=np.float64), requires_grad=True)
    loss = torch.nn.functional.cross_entropy(
        x @ weight.T + bias, torch.from_numpy(labels), weight=torch.tensor(weights), reduction="sum"
    )
    (0.3 * loss + weight.square().sum() / 2).backward()
    scale = 0.3 * weights[labels].sum()
    assert max(weight.grad.abs().max(), bias.grad.abs().max()) / scale < 2e-6


def test_each_label_has_a_regression_of_its_own_on_the_images_on_which_it_counts() -> None:
    features, classes = points(80, classes=2, dimensions=4)
    labels = np.stack([classes, np.ones(80), np.zeros(80), 1 - classes, np.full(80, np.nan)], 1).astype(np.float64)
    labels[:30, 3] = np.nan
    layer = fitted(features, labels, 0.5, classes=5)
    scaler = StandardScaler().fit(features.astype(np.float64))
    alone = LogisticRegression(C=0.5, tol=1e-9, max_iter=10_000)
    alone.fit(scaler.transform(features.astype(np.float64))[30:], labels[30:, 3])
    np.testing.assert_allclose(layer.weight[3] * scaler.scale_, alone.coef_[0], atol=1e-5)
    assert not layer.weight[[1, 2, 4]].any()
    shares = 1 / (1 + np.exp(-layer.bias[[1, 2, 4]]))
    np.testing.assert_allclose(shares, [80.5 / 81, 0.5 / 81, 0.5])


def test_a_class_without_images_is_never_likely() -> None:
    features, labels = points(40, classes=3, dimensions=4)
    logits = fitted(features, labels, 1.0, classes=4).logits(features.astype(np.float64))
    assert torch.softmax(torch.from_numpy(logits), 1)[:, 3].max() <= 1 / 81 + 1e-12
    only = fitted(features, np.zeros(40, np.int64), 1.0, classes=2).logits(features.astype(np.float64))
    assert (only.argmax(1) == 0).all()


def test_folds_keep_groups_and_copies_together_and_share_out_classes() -> None:
    table = pd.DataFrame({"id": [f"{i:03}" for i in range(100)], "label": ["a", "b"] * 50, "source_id": ""})
    table["origin"], table["group"] = "real", [f"p{i // 4}" if i < 60 else "" for i in range(100)]
    copies = table.assign(id="tilt-" + table["id"], source_id=table["id"], origin="tilt")
    whole = pd.concat([table, copies], ignore_index=True)
    held_out = folds(whole, number=5)
    assert sorted(np.concatenate(held_out).tolist()) == list(range(200))
    of = np.empty(200, np.int64)
    for number, rows in enumerate(held_out):
        of[rows] = number
        counts = whole["label"].iloc[rows].value_counts()
        assert counts.min() >= 14
    assert (of[:100] == of[100:]).all()
    assert all(len(set(of[start : start + 4])) == 1 for start in range(0, 60, 4))
    shuffled = whole.sample(frac=1, random_state=0)
    again = folds(shuffled.reset_index(drop=True), number=5)
    ids = [set(whole["id"].iloc[rows]) for rows in held_out]
    assert [set(shuffled["id"].iloc[rows]) for rows in again] == ids


def test_generated_images_are_alone_and_copies_of_an_absent_image_together() -> None:
    rows = [("gan-0", "", "gan"), ("gan-1", "", "gan"), ("tilt-7", "7", "tilt"), ("turn-7", "7", "turn")]
    table = pd.DataFrame(rows, columns=["id", "source_id", "origin"])
    one, two, three, four = units(table)
    assert one != two
    assert three == four == "image 7"


def test_held_out_losses_are_those_of_models_that_never_saw_the_image(tmp_path: Path) -> None:
    """Every fold and C is fitted again by scikit-learn from the start."""
    run = probe_run(tmp_path, probe=Probe(folds=3), class_weights="balanced")
    features = features_of(run, build_classifier(run, 0))
    history = cross_validated(features, run, number=3)
    labels, weights = run.objective.labels, run.objective.balanced()
    for row in history[:: max(1, len(history) - 1)]:
        losses = np.empty(len(labels))
        for rows in folds(run.data.table, number=3):
            rest = np.setdiff1d(np.arange(len(labels)), rows)
            solver = LogisticRegression(C=row["C"], tol=1e-9, max_iter=10_000)
            x = features.astype(np.float64)
            scaler = StandardScaler().fit(x[rest])
            solver.fit(scaler.transform(x[rest]), labels[rest], sample_weight=weights[labels[rest]])
            losses[rows] = -solver.predict_log_proba(scaler.transform(x[rows]))[np.arange(len(rows)), labels[rows]]
        assert row["log_loss"] == pytest.approx(np.average(losses, weights=weights[labels]), abs=1e-4)


def test_only_real_images_are_judged_where_there_are_any(tmp_path: Path) -> None:
    """Added images with wrong labels are fitted, and so worsen the judged loss, but are not judged themselves."""
    real = labelled(24, 0)
    wrong = real.table.assign(id="x" + real.table["id"], source_id=real.table["id"], origin="x")
    wrong["label"] = [{"a": "b", "b": "a"}[label] for label in wrong["label"]]
    added = ImageSet(real.images.copy(), wrong)
    data = combine(Arm(add=("x",)), train=real, added_sets=[added], name="t")
    run = probe_run(tmp_path, data=data)
    features = features_of(run, build_classifier(run, 0))
    accuracy = {row["C"]: row["accuracy"] * 24 for row in cross_validated(features, run, number=4)}
    assert all(value == pytest.approx(round(value)) for value in accuracy.values())


def test_the_lowest_log_loss_is_chosen() -> None:
    assert chosen([{"C": 1.0, "log_loss": 0.4}, {"C": 2.0, "log_loss": 0.3}, {"C": 3.0, "log_loss": 0.3}]) == 2.0


def test_a_probe_predicts_through_the_whole_net(tmp_path: Path) -> None:
    run = probe_run(tmp_path)
    trained = fit_probe(run, seed=0)
    classifier = build_classifier(run, 0)
    frozen = {name: value.clone() for name, value in classifier.net.state_dict().items()}
    classifier.net.load_state_dict(trained.weights)
    changed = [name for name, value in frozen.items() if not torch.equal(value, trained.weights[name])]
    assert changed == [name for name in frozen if name.startswith(classifier.head)]
    logits = predict.logits(classifier, predict.blocks(run.data.parts[0], None, run.view))
    features = features_of(run, build_classifier(run, 0)).astype(np.float64)
    layer = Regression(features, run.objective.labels, rows=np.arange(24), num_classes=2).fit(0.1)
    np.testing.assert_allclose(logits.numpy(), layer.logits(features), atol=1e-4)
    assert run.objective.validated(logits, torch.tensor(run.objective.labels))["val_accuracy"] == 1.0


def test_a_found_c_gives_the_bytes_of_the_same_c_given(tmp_path: Path) -> None:
    found = fit_probe(probe_run(tmp_path, probe=Probe()), seed=0)
    best = next(row["C"] for row in found.history if row["chosen"])
    given = fit_probe(probe_run(tmp_path / "other", probe=Probe(C=best)), seed=0)
    assert same(found.weights, given.weights)
    assert given.history == [{"C": best, "chosen": 1.0}]


def test_features_are_the_same_cached_or_not(tmp_path: Path) -> None:
    cached = fit_probe(probe_run(tmp_path), seed=0)
    read = fit_probe(probe_run(tmp_path), seed=0)
    direct = fit_probe(replace(probe_run(tmp_path, feature_cache=False)), seed=0)
    assert same(cached.weights, read.weights)
    assert same(cached.weights, direct.weights)


def test_several_labels_are_fitted_and_judged(tmp_path: Path) -> None:
    images = image_set(["a", "b", "a|b", ""] * 12, side=16, channels=1, seed=3)
    for row, label in enumerate(images.table["label"]):
        images.images[row] = images.images[row] // 4 + 90 * ("a" in label) + 60 * ("b" in label)
    difficult = ["b" if row in (0, 4) else "" for row in range(48)]
    images = ImageSet(images.images, images.table.assign(difficult=difficult))
    from kit.training import META
    from touchstone.training.setup import set_up

    base = new_run(probe=Probe(), **PROBE)
    data = combine(Arm(), train=images, name="real", multi_label=True)
    meta = META | {"multi_label": True}
    run = set_up("m", settings=base.settings, data=data, val=images.take([]), meta=meta, machine=base.machine)
    assert run.multi_label
    trained = fit_probe(run, seed=0)
    assert min(row["log_loss"] for row in trained.history) < np.log(2)


def test_equal_seeds_are_fitted_once_and_own_images_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from touchstone.training import run as runs

    fits: list[int] = []
    monkeypatch.setattr(runs, "fit_probe", lambda run, *, seed: (fits.append(seed), fit_probe(run, seed=seed))[1])
    data: dict[int, TrainingSet] = {seed: combine(Arm(), train=labelled(24, seed), name="real") for seed in (0, 1)}
    run = probe_run(tmp_path, seeds=(0, 1), data=data)
    trained = train(run, store=tmp_path / "store", fingerprint="f")
    assert fits == [0, 1]
    assert not same(trained[0].weights, trained[1].weights)
    assert set(history_table(trained)["seed"]) == {0, 1}
    pretrained = replace(run.initial, name="file", sha256={"all": "0" * 64})
    shared = replace(probe_run(tmp_path, seeds=(0, 1)), initial=pretrained)
    assert is_repeated(shared, 1)
    assert not is_repeated(shared, 0)
    assert not is_repeated(probe_run(tmp_path, seeds=(0, 1)), 1), "random weights differ by seed"
    fits.clear()
    trained = train(shared, store=tmp_path / "store", fingerprint="g")
    assert fits == [0]
    assert same(trained[0].weights, trained[1].weights)
    assert [one.seed for one in trained] == [0, 1]
    table = curve(trained)
    assert table["chosen"].tolist() == [1.0]


def test_a_probe_that_ended_is_not_fitted_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = probe_run(tmp_path, probe=Probe())
    first = train(run, store=tmp_path / "store", fingerprint="f")
    capsys.readouterr()
    again = train(run, store=tmp_path / "store", fingerprint="f")
    assert "trained before" in capsys.readouterr().out
    assert same(first[0].weights, again[0].weights)
    assert first[0].history == again[0].history


def test_a_head_of_several_layers_is_refused() -> None:
    net = build("mobilenet_v2", num_classes=2, in_channels=3, input_size=32, options={"hidden": 8})
    with pytest.raises(TouchstoneError, match=r"the head, classifier, is Linear, ReLU, Linear, expected one linear"):
        linear_head(net, "classifier")
    plain = build("mobilenet_v2", num_classes=2, in_channels=3, input_size=32, options={})
    assert linear_head(plain, "classifier").out_features == 2


def test_images_that_cannot_be_divided_are_refused(tmp_path: Path) -> None:
    one = labelled(2, 0)
    table = one.table.assign(group="p")
    data = combine(Arm(), train=ImageSet(one.images, table), name="real")
    run = probe_run(tmp_path, probe=Probe(), data=data)
    with pytest.raises(TouchstoneError, match="at least two folds, got 2 images that cannot be separated"):
        fit_probe(run, seed=0)


def test_features_that_are_not_finite_are_refused() -> None:
    features, labels = points(10, classes=2, dimensions=3)
    features[3, 1] = np.inf
    with pytest.raises(TouchstoneError, match="features are not finite"):
        fitted(features, labels, 1.0, classes=2)


def test_balanced_weights_reach_the_fit(tmp_path: Path) -> None:
    data = combine(Arm(), train=labelled(24, 0).take([*range(0, 24, 2), 1, 3]), name="real")
    plain, balanced = (
        fit_probe(probe_run(tmp_path, data=data, class_weights=kind), seed=0) for kind in ("none", "balanced")
    )
    assert not same(plain.weights, balanced.weights)

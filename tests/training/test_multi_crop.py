"""Test-time crops: the squares that are cut, the mean of their probabilities, in validation and in a delivered run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kit.params import load, message
from kit.training import META, labelled, new_run, same
from touchstone.data.batches import View
from touchstone.data.ops import crops
from touchstone.models import predict
from touchstone.models.predict import over_crops
from touchstone.models.runs import load_first, load_run_metadata
from touchstone.training.classifier import build_classifier
from touchstone.training.loop import train_seed
from touchstone.training.run import deliver, train

ROWS, COLUMNS = np.meshgrid(np.arange(16), np.arange(24), indexing="ij")
IMAGE = np.stack([ROWS, COLUMNS], -1).astype(np.uint8)  # (16, 24, 2): pixels say where they are
CROPS: dict[str, Any] = {"test_crops": 5, "test_scales": (1.0, 0.75), "test_flips": True}


@pytest.mark.parametrize("number", [1, 5, 9])
def test_squares_lie_as_far_apart_as_the_image_allows(number: int) -> None:
    cut = crops.windows(IMAGE, 10, number)
    corners = {tuple(window[0, 0].tolist()) for window in cut}
    assert len(cut) == len(corners) == number
    assert all(window.shape == (10, 10, 2) for window in cut)
    assert (3, 7) in corners, "the centre"
    if number > 1:
        assert {(0, 0), (0, 14), (6, 0), (6, 14)} <= corners
    with pytest.raises(ValueError, match="24 x 16 px, expected at least 17"):
        crops.windows(IMAGE, 17, number)


def test_a_view_cuts_each_scale_and_whole_squares_once() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    view = View(16, 12, test_crops=5, test_scales=(1.0, 0.75))
    seen = view.seen(images, None)
    assert seen.shape == (3, 1 + 5, 12, 12, 3)
    assert torch.equal(seen[:, 0], view.plain.seen(images, None))
    assert np.array_equal(seen[1, 5].numpy(), images[1, 2:14, 2:14]), "the centre comes last"
    assert view.seen(images[:0], None).shape[0] == 0
    padded = np.zeros((2, 16, 24, 3), np.uint8)
    sizes = np.array([[16, 16], [16, 24]])
    assert view.seen(padded, sizes).shape == (2, 10, 12, 12, 3), "whole squares of long images differ"


def test_probabilities_are_averaged() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4 * 3, 5)
    single = torch.softmax(over_crops(logits, 3, mean=True, multi_label=False), 1)
    assert torch.allclose(single, torch.softmax(logits, 1).unflatten(0, (4, 3)).mean(1), atol=1e-6)
    several = torch.sigmoid(over_crops(logits, 3, mean=True, multi_label=True))
    assert torch.allclose(several, torch.sigmoid(logits).unflatten(0, (4, 3)).mean(1), atol=1e-6)


def test_training_sees_whole_images_and_validation_the_mean(tmp_path: Path) -> None:
    one = new_run(**CROPS)
    classifier = build_classifier(one, 0)
    classifier.eval()
    own = torch.softmax(predict.logits(classifier, predict.batches(one.val, one.test_view)), 1)
    windows = one.test_view.seen(one.val.images, None)  # (20, 6, 16, 16, 1)
    net, total = classifier.net.eval(), torch.zeros(20, 2)
    with torch.no_grad():
        for i in range(6):
            x = classifier.normalised(windows[:, i])
            total += torch.softmax(net(x), 1) + torch.softmax(net(x.flip(3)), 1)
    assert torch.allclose(own, total / 12, atol=1e-6)
    plain = train_seed(new_run(select="last"), seed=0, state_file=tmp_path / "a.pt")
    cropped = train_seed(new_run(select="last", **CROPS), seed=0, state_file=tmp_path / "b.pt")
    assert same(plain.weights, cropped.weights)
    assert plain.history != cropped.history


def test_a_delivered_run_predicts_as_it_was_validated(tmp_path: Path) -> None:
    one = new_run(**CROPS, test_shift=1)
    (tmp_path / "run").mkdir()
    trained = train(one, store=tmp_path / "store", fingerprint="x")
    deliver(tmp_path / "run", one, trained, meta=META)
    net = load_first(tmp_path / "run")
    probs = predict.probabilities(net, labelled(20, 1), view=net.view, num_classes=2)
    accuracy = (probs.argmax(1) == one.val_labels).mean()
    best = [row for row in trained[0].history if row["step"] == trained[0].selected_step]
    assert accuracy == pytest.approx(best[0]["val_accuracy"])
    assert load_run_metadata(tmp_path / "run").view == one.test_view
    (tmp_path / "plain").mkdir()
    deliver(tmp_path / "plain", new_run(), trained, meta=META)
    assert "test_crops" not in (tmp_path / "plain/model.json").read_text()


def test_cached_features_of_crops_are_as_they_would_be_computed(tmp_path: Path) -> None:
    changes = {"trainable": ("head",), "weights": "random", "crop_padding": 0, "hflip": False, "num_steps": 6}
    one = new_run(**changes, **CROPS)
    plain = train_seed(one, seed=0, state_file=tmp_path / "a.pt")
    cached = train_seed(replace(one, features=tmp_path / "f"), seed=0, state_file=tmp_path / "b.pt")
    assert len(list((tmp_path / "f").glob("*.npy"))) == 3, "of training images, validation images, and these mirrored"
    for row, other in zip(plain.history, cached.history, strict=True):
        assert row == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train.test_crops=4", "train.test_crops: got 4"),
        ("models.simple.test_shift=16", "models.simple.test_shift: got 16 px, and the net's input has 16"),
        ("models.simple.test_crops=5", "models.simple.test_crops: got 5 crops as large as the images"),
        ("train.test_scales=[]", "train.test_scales"),
        ("train.test_scales=[0.5, 0.5]", "0.5 is listed twice"),
        ("train.test_scales=[1.2]", "less than or equal to 1"),
        ("models.simple={crops: five, crop_size: 12, test_crops: 5}", "models.simple.test_crops: is not beside five"),
        ("models.simple={crops: five, crop_size: 12, test_scales: [0.9]}", "models.simple.test_scales: is not beside"),
        ("audit.encoder.test_crops=5", "audit.encoder.test_crops: is not for the encoder"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, change: str, said: str) -> None:
    assert said in message(tmp_path, change)


def test_the_encoder_sees_whole_images(tmp_path: Path) -> None:
    settings = load(tmp_path, "train.test_crops=5", "train.test_scales=[0.9]")
    assert settings.models["simple"].test_crops == 5
    assert settings.audit.encoder.test_crops == 1

"""Tests which predictions are explained, for which class, on which crop; and what is saved."""

import numpy as np
import pandas as pd
import pytest
import torch

from kit.images import image_set
from touchstone.config.schema.explain import Explain
from touchstone.errors import TouchstoneError
from touchstone.explain.overlays import signed
from touchstone.explain.run import choose, explain
from touchstone.models.nets import build
from touchstone.models.runs import Predictor, RunMetadata
from touchstone.report.gather import attributions

FILES = ["a", "b", "c", "d"]
PROBS = np.array([[[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]], [[0.7, 0.3], [0.2, 0.8], [0.4, 0.6], [0.9, 0.1]]])
FEW = {"steps": 8, "samples": 2, "randomised": 2}


def rows(settings: Explain, labels: list) -> list[tuple[int, int, float]]:
    found = choose(PROBS, np.array(labels), FILES, settings=settings, classes=["x", "y"])
    return [(choice.row, choice.target, round(choice.score, 3)) for choice in found]


def test_the_surest_errors_come_first_and_right_answers_not_at_all() -> None:
    assert rows(Explain(images=3), [1, 1, 0, 1]) == [(0, 0, 0.8), (3, 0, 0.8), (2, 1, 0.6)]
    assert rows(Explain(images=1), [1, 1, 0, 1]) == [(0, 0, 0.8)]
    assert rows(Explain(images=3), [0, 1, 1, 0]) == []


def test_the_surest_answers_and_named_images() -> None:
    assert rows(Explain(images=2, choose="confident"), [1, 0, 0, 1]) == [(0, 0, 0.8), (1, 1, 0.8)]
    assert rows(Explain(images=1, files=("c", "a")), [0, 0, 0, 0]) == [(2, 1, 0.6), (0, 0, 0.8)]
    with pytest.raises(TouchstoneError, match=r"explain.files: got 'cc', which is no test image .* did you mean c"):
        rows(Explain(files=("cc",)), [0, 0, 0, 0])


def test_of_several_labels_an_image_the_label_farthest_off_counts() -> None:
    labels = [[0.0, 0.0], [1.0, 1.0], [np.nan, 0.0], [1.0, np.nan]]
    found = rows(Explain(images=4), labels)
    assert found[:3] == [(0, 0, 0.8), (1, 0, 0.2), (2, 1, 0.6)]
    assert rows(Explain(images=1, choose="confident"), labels) == [(0, 0, 0.8)]


def test_named_classes_take_turns() -> None:
    both = {"choose": "confident", "classes": ("y", "x")}
    assert [row for row, *_ in rows(Explain(images=2, **both), [0, 0, 1, 0])] == [2, 0], "one of each class"
    assert [row for row, *_ in rows(Explain(images=4, **both), [0, 0, 1, 0])] == [2, 0, 1, 3], "then what is left"
    assert [row for row, *_ in rows(Explain(images=4, choose="confident", classes=("y",)), [0, 0, 1, 0])] == [2]
    assert rows(Explain(images=4, classes=("x",)), [1, 1, 0, 1]) == [(2, 1, 0.6)], "its errors alone"
    labels = [[0.0, 1.0], [1.0, 1.0], [np.nan, 0.0], [1.0, 0.0]]
    assert [row for row, *_ in rows(Explain(images=4, **both), labels)] == [0, 1, 3], "each image once"
    with pytest.raises(TouchstoneError, match=r"explain.classes: got 'yy', expected some of x, y; did you mean y\?"):
        rows(Explain(classes=("yy",)), [0, 0, 0, 0])


def run(*, crop_size: int = 0, side: int = 16) -> tuple[Predictor, RunMetadata]:
    torch.manual_seed(0)
    card = RunMetadata(
        net="lenet", options={}, classes=["x", "y"], channels=3, input_size=16, test_input_size=16, image_size=side,
        resize="squash", max_pixels=10**6, mean=[100.0] * 3, std=[50.0] * 3, test_flips=False, weights={},
        selected_step={}, diverged={}, crop_size=crop_size,
    )  # fmt: skip
    return Predictor(build("lenet", num_classes=2, in_channels=3, input_size=16, options={}), card), card


def explained(settings: Explain, *, crop_size: int = 0, side: int = 16, images: int = 3):
    test = image_set(["x", "y"] * 2, side=side)
    predictor, card = run(crop_size=crop_size, side=side)
    train = image_set(["x", "y"] * 5, side=side, seed=1)
    given = {"test": test, "train": train, "files": FILES, "settings": settings, "seed": 0}
    torch.manual_seed(1)
    again = Predictor(build("lenet", num_classes=2, in_channels=3, input_size=16, options={}), card)
    return predictor, card, test, explain([predictor, again], card, PROBS, np.array([1, 0, 0, 1]), **given)


def test_what_is_kept_of_an_explanation(tmp_path) -> None:
    settings = Explain(images=3, **FEW)
    predictor, _, test, found = explained(settings)
    found.save(tmp_path / "new/run")
    kept = tmp_path / "new/run"
    files = {"sheet.png", "tiles.npy", "scales.json", "extent.json", "images.csv", "sanity.csv"}
    assert {path.name for path in kept.iterdir()} == files | {f"{method}.npy" for method in settings.methods}
    images = pd.read_csv(kept / "images.csv")
    assert images["file"].tolist() == ["a", "b", "d"]
    assert images["explained"].tolist() == ["x", "y", "x"]
    assert images["true"].tolist() == ["x", "y", "y"]
    x = (torch.from_numpy(test.images[[0, 1, 3]]).float().permute(0, 3, 1, 2) - 100) / 50
    with torch.no_grad():
        logits = predictor.net(x)[range(3), [0, 1, 0]]
        plain = predictor.net(torch.zeros_like(x))[range(3), [0, 1, 0]]
    np.testing.assert_allclose(images["logit"], logits, atol=1e-4)
    np.testing.assert_allclose(images["plain_logit"], plain, atol=1e-4)
    maps = np.load(kept / "deep_lift.npy")
    assert (maps.shape, maps.dtype) == ((3, 16, 16), np.float32)
    np.testing.assert_allclose(maps.sum((1, 2)), images["logit"] - images["plain_logit"], atol=1e-4)
    sanity = pd.read_csv(kept / "sanity.csv")
    assert sanity["layers"].unique().tolist() == [0, 3, 5], "five layers in two stages"
    assert set(sanity["method"]) == set(settings.methods)
    assert sanity["another_seed"].between(-1, 0.99).all()
    assert (sanity.groupby("method")["another_seed"].nunique() == 1).all()


def test_without_stages_there_is_no_check(tmp_path) -> None:
    *_, found = explained(Explain(images=1, methods=("saliency",), randomised=0))
    assert found.sanity["layers"].tolist() == [0]


def test_a_run_without_errors_has_nothing_to_explain(tmp_path) -> None:
    predictor, card = run()
    given = {"test": image_set(["x", "y"] * 2), "train": image_set(["x"]), "files": FILES, "seed": 0}
    explain([predictor], card, PROBS, PROBS.mean(0).argmax(1), settings=Explain(), **given).save(tmp_path / "run")
    found = attributions(tmp_path / "run")
    assert len(found.images) == len(found.sanity) == 0
    assert not found.is_checked


def test_of_five_crops_the_one_that_answers_most_strongly_is_explained() -> None:
    predictor, card, test, found = explained(
        Explain(images=1, methods=("saliency",), randomised=0), crop_size=16, side=24
    )
    pixels = card.view.seen(test.images[:1], None)  # (1, 5, 16, 16, 3)
    with torch.no_grad():
        logits = predictor(pixels)
    assert found.images["logit"][0] == pytest.approx(float(logits[0, 0]), abs=1e-4)


def test_what_is_for_a_class_is_orange_and_what_is_against_it_blue() -> None:
    values = np.array([[1.0, -1.0], [0.0, 0.0]])
    tile = np.asarray(signed(np.full((2, 2, 1), 128, np.uint8), values, 1.0), int)
    (up, _, up_blue), (down, _, down_blue), grey = tile[8, 8], tile[8, -8], tile[-1, 8]
    assert up - up_blue > 100
    assert down_blue - down > 100
    assert grey.tolist() == [150 + 128 * 105 // 255] * 3

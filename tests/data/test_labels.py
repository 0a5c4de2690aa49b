"""Labels as numbers, five crops, and binary cross-entropy: the parts of training on several labels per image."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from kit.images import image_set
from touchstone.config.schema.augmentation import Augmentation
from touchstone.config.schema.data import Arm
from touchstone.config.schema.model import Phase
from touchstone.data.batches import Batches, View
from touchstone.data.imageset import ImageSet
from touchstone.data.labels import encode
from touchstone.data.ops import crops
from touchstone.data.sheets import spread
from touchstone.data.training_set import combine
from touchstone.errors import TouchstoneError
from touchstone.models.predict import mean_of
from touchstone.training.objective import MultiLabel, SingleLabel, objective_for

META = {"classes": ["cat", "dog", "fox"], "multi_label": True}
NAN = float("nan")


def test_labels_become_numbers_and_difficult_classes_nan() -> None:
    table = pd.DataFrame({"label": ["cat|fox", "", "dog"], "difficult": ["", "dog", "cat|fox"]})
    expected = [[1, 0, 1], [0, NAN, 0], [NAN, 1, NAN]]
    assert np.array_equal(encode(table, META), np.array(expected, np.float32), equal_nan=True)
    assert encode(table[["label"]], META)[1].tolist() == [0, 0, 0]
    single = encode(pd.DataFrame({"label": ["dog", "cat"]}), {"classes": ["cat", "dog"]})
    assert single.dtype == np.int64
    assert single.tolist() == [1, 0]
    with pytest.raises(TouchstoneError, match="label 'cow' is none of the classes cat, dog, fox"):
        encode(pd.DataFrame({"label": ["cat|cow"]}), META)


def test_sheets_show_each_class_in_turn_an_image_once() -> None:
    assert spread(["b", "a", "b", "a", "a"], 3) == [1, 3, 0]
    assert spread(["a|b", "a|b", "b", "", "c"], 4) == [0, 1, 4, 3]
    assert spread(["a|b"], 9) == [0]


def padded() -> tuple[np.ndarray, np.ndarray]:
    """Two images, 12 x 10 and 10 x 14, in storage of 12 x 14; padding is 0, and pixels are not."""
    sizes = np.array([[12, 10], [10, 14]])
    pixels = np.zeros((2, 12, 14, 1), np.uint8)
    for image, (height, width) in zip(pixels, sizes, strict=True):
        image[:height, :width, 0] = 1 + np.arange(height * width).reshape(height, width) % 250
    return pixels, sizes


def test_five_crops_lie_inside_the_valid_area_and_reach_its_corners() -> None:
    pixels, sizes = padded()
    seen = View(10, 8, crop_px=8).seen(pixels, sizes).numpy()
    assert seen.shape == (2, 5, 8, 8, 1)
    assert (seen > 0).all(), "no padding"
    for image, found, (height, width) in zip(pixels, seen, sizes, strict=True):
        corners = [image[0, 0], image[0, width - 1], image[height - 1, 0], image[height - 1, width - 1]]
        assert [found[0, 0, 0], found[1, 0, -1], found[2, -1, 0], found[3, -1, -1]] == corners
        top, left = (height - 8) // 2, (width - 8) // 2
        assert np.array_equal(found[4], image[top : top + 8, left : left + 8])
    assert View(10, 4, crop_px=8).seen(pixels, sizes).shape == (2, 5, 4, 4, 1), "scaled to what the net takes"
    with pytest.raises(ValueError, match="got 10 x 12 px, expected at least 11 on each side"):
        crops.five(pixels[0, :12, :10], 11)


def test_images_are_turned_and_mirrored_whole_before_they_are_cropped() -> None:
    pixels, sizes = padded()
    table = pd.DataFrame({"id": ["a", "b"], "label": ["x", "x"], "source_id": "", "origin": "real"})
    table["height"], table["width"] = sizes[:, 0], sizes[:, 1]
    data = combine(Arm(), train=ImageSet(pixels, table), name="x")

    def batches(**online) -> Batches:
        labels = np.array([[0.0], [1.0]], np.float32)
        how = {"batch_size": 2, "num_steps": 40, "start": 0, "stop": 40, "seed": 1}
        return Batches(data, labels, view=View(10, 8, crop_px=8), augmentation=Augmentation(**online), **how)

    flips = set()
    one_way, other = batches(), batches(hflip=True)
    for plain, mirrored in ((one_way[i], other[i]) for i in range(40)):
        assert torch.equal(plain[1], mirrored[1])
        for one, two in zip(plain[0], mirrored[0], strict=True):
            flipped = one[[1, 0, 3, 2, 4]].flip(2)
            is_flipped = torch.equal(two[:4], flipped[:4])
            assert is_flipped or torch.equal(two, one)
            flips.add(is_flipped)
    assert flips == {True, False}
    turned = batches(rotate_deg=25.0)
    assert all((turned[i][0] > 0).all() for i in range(40)), "a rotation fills what it uncovers from the edge"


def test_the_crop_that_answers_most_strongly_counts_for_each_class_alone() -> None:
    logits = torch.tensor([[0.0, 3.0], [2.0, -1.0], [-5.0, -5.0], [-4.0, -6.0]])
    assert crops.max_over_crops(logits, 2).tolist() == [[2.0, 3.0], [-4.0, -5.0]]
    assert crops.max_over_crops(logits, 1) is logits


def test_the_mean_over_mirror_images_is_of_probabilities() -> None:
    one, two = torch.tensor([[0.5, -3.0, 40.0]]), torch.tensor([[-1.0, 2.0, 30.0]])
    mean = torch.sigmoid(mean_of(one, two, multi_label=True))
    assert torch.allclose(mean, (one.sigmoid() + two.sigmoid()) / 2, atol=1e-6)


def test_the_loss_is_torchs_and_what_does_not_count_weighs_nothing() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 3), (torch.rand(6, 3) > 0.5).float()
    assert MultiLabel(labels.numpy(), 3).loss(logits, labels) == F.binary_cross_entropy_with_logits(logits, labels)
    unknown = labels.clone()
    unknown[0] = NAN
    logits.requires_grad_()
    loss = MultiLabel(labels.numpy(), 3).loss(logits, unknown, smoothing=0.2)
    assert loss.item() == pytest.approx(
        F.binary_cross_entropy_with_logits(logits[1:], labels[1:] * 0.8 + 0.1).item(), rel=1e-6
    )
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[0] == 0).all()
    assert MultiLabel(labels.numpy(), 3).loss(logits, torch.full((6, 3), NAN)) == 0


def some_labels() -> np.ndarray:
    labels = np.zeros((10, 3), np.float32)
    labels[:4, 0] = labels[:, 2] = 1
    labels[9, 0] = NAN
    return labels


def test_balanced_classes_have_both_kinds_of_images_count_alike() -> None:
    labels = some_labels()
    weights = MultiLabel(labels, 3).balanced()
    assert weights.tolist() == [[pytest.approx(9 / 8), 0, 1], [pytest.approx(9 / 10), 1, 0]]
    shares = [np.nansum(weights[0] * (labels == 1), 0), np.nansum(weights[1] * (labels == 0), 0)]
    assert shares[0][0] == pytest.approx(shares[1][0])


@pytest.mark.parametrize(
    "changes", [{}, {"label_smoothing": 0.2}, {"class_weights": "balanced", "label_smoothing": 0.1}]
)
def test_chance_is_the_lowest_loss_of_one_answer_for_all(changes: dict) -> None:
    labels = some_labels()
    phase = Phase(num_steps=1, **changes)
    aim = objective_for(labels, 3)
    given = aim.class_weights(phase)
    weights = None if given is None else torch.tensor(given).float()
    answer = torch.zeros(3, requires_grad=True)
    solver = torch.optim.LBFGS([answer], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        out = aim.loss(answer.expand(10, 3), torch.tensor(labels), weights=weights, smoothing=phase.label_smoothing)
        out.backward()
        return out

    solver.step(loss)
    assert loss().item() == pytest.approx(aim.chance_loss(phase), rel=1e-3, abs=1e-4)


def test_what_is_validated() -> None:
    logits = torch.tensor([[2.0, -1.0], [1.0, 3.0], [-2.0, 1.0]])
    labels = torch.tensor([[1.0, 0.0], [0.0, NAN], [0.0, 1.0]])
    found = MultiLabel(labels.numpy(), 2).validated(logits, labels)
    assert found["val_accuracy"] == 4 / 5
    assert found["val_map"] == 1.0
    assert isinstance(objective_for(labels.numpy(), 2), MultiLabel)
    assert isinstance(objective_for(np.array([0, 1]), 2), SingleLabel)
    none = torch.zeros(3, 2)
    assert np.isnan(MultiLabel(none.numpy(), 2).validated(logits, none)["val_map"])


def test_added_images_with_several_labels_are_limited_together() -> None:
    train, added = (image_set(["a|b", "b", "", "a|c"], seed=s, prefix=p) for s, p in ((0, "r"), (1, "n")))
    for ratio, wanted in ((0.5, 2), (1.0, 4)):
        data = combine(Arm(add=("n",), ratio=ratio), train=train, added_sets=[added], name="x", multi_label=True)
        assert len(data) - data.num_real == wanted
    with pytest.raises(TouchstoneError, match=r"arms\.x\.ratio: 1\.5 asks for 6 added images, but there are 4 in n"):
        combine(Arm(add=("n",), ratio=1.5), train=train, added_sets=[added], name="x", multi_label=True)
    with pytest.raises(TouchstoneError, match=r"arms\.x\.per_class: images have several labels"):
        combine(Arm(add=("n",), per_class=1), train=train, added_sets=[added], name="x", multi_label=True)

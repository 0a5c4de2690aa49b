from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from kit.images import image_set
from touchstone.config.schema.augmentation import Augmentation
from touchstone.config.schema.data import Arm
from touchstone.data import batches as loaders
from touchstone.data.batches import Batches, View, statistics, to_float
from touchstone.data.imageset import ImageSet
from touchstone.data.training_set import TrainingSet, combine

SET = image_set(["a", "b"] * 5)


def training_set(images: ImageSet = SET) -> TrainingSet:
    return combine(Arm(), train=images, name="x")


SETTINGS = {"batch_size": 4, "seed": 3, "num_steps": 12, "start": 0, "stop": 12, "view": View(8, 8)}


def batches(view: View = SETTINGS["view"], start: int = 0, stop: int = 12, **online) -> Batches:
    changes = {"view": view, "start": start, "stop": stop, "augmentation": Augmentation(**online)}
    return Batches(training_set(), np.arange(10), **SETTINGS | changes)


def test_every_epoch_sees_every_image_once_and_in_another_order() -> None:
    seen = torch.cat([labels for _, labels in (batches()[i] for i in range(10))]).reshape(4, 10).tolist()
    assert all(sorted(epoch) == list(range(10)) for epoch in seen)
    assert seen[0] != seen[1]


def test_pixels_belong_to_their_labels() -> None:
    pixels, labels = batches()[2]
    assert np.array_equal(pixels.numpy(), SET.images[labels.numpy()])


@pytest.mark.parametrize("online", [{}, {"crop_padding": 2, "hflip": True}, {"crop_scale": 0.3, "hflip": True}])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_stream_is_the_same_from_anywhere_and_for_any_workers(online: dict, num_workers: int) -> None:
    whole = [batches(**online)[i] for i in range(12)]
    rest = list(DataLoader(batches(start=5, **online), batch_size=None, num_workers=num_workers))
    assert len(rest) == 7
    for (pixels, labels), (other, names) in zip(whole[5:], rest, strict=True):
        assert torch.equal(pixels, other)
        assert torch.equal(labels, names)


@pytest.mark.parametrize(("share", "first"), [(0.25, 3), (0.5, 6), (0.01, 1), (0.99, 11)])
def test_pretraining_sees_the_added_images_alone_and_then_the_real_images_alone(share: float, first: int) -> None:
    added = image_set(["a", "b"] * 3, seed=1, prefix="new")
    arm = Arm(add=("new",), schedule="pretrain", pretrain_share=share)
    data = combine(arm, train=SET, added_sets=[added], name="x")
    rows = np.arange(16)  # as labels, to see which image it is
    whole = Batches(data, rows, augmentation=Augmentation(), **SETTINGS)
    seen = [whole[step][1].tolist() for step in range(12)]
    assert all(row >= 10 for batch in seen[:first] for row in batch)
    assert all(row < 10 for batch in seen[first:] for row in batch)
    pixels, labels = whole[0]
    assert np.array_equal(pixels.numpy(), added.images[labels.numpy() - 10])
    later = Batches(data, rows, augmentation=Augmentation(), **SETTINGS | {"start": 5})
    assert [later[step][1].tolist() for step in range(7)] == seen[5:], "resumed in either phase"


def test_each_image_of_a_batch_is_cropped_and_mirrored_by_numbers_of_its_own() -> None:
    flips = crops = 0
    for step in range(12):
        pixels, labels = batches(crop_padding=1, hflip=True)[step]
        for image, label in zip(pixels.numpy(), labels.numpy(), strict=True):
            padded = np.pad(SET.images[label], ((1, 1), (1, 1), (0, 0)))
            found = [
                (top, left, flip)
                for top in range(3)
                for left in range(3)
                for flip in (0, 1)
                if np.array_equal(image, padded[top : top + 8, left : left + 8][:, :: -1 if flip else 1])
            ]
            assert len(found) == 1
            flips += found[0][2]
            crops += found[0][:2] != (1, 1)
    assert 12 < flips < 36
    assert crops > 24


def test_a_phase_is_a_part_of_the_same_stream() -> None:
    whole, first, second = batches(), batches(stop=5), batches(start=5)
    assert (len(first), len(second)) == (5, 7)
    parts = [first[i][1].tolist() for i in range(5)] + [second[i][1].tolist() for i in range(7)]
    assert parts == [whole[i][1].tolist() for i in range(12)]


def test_features_come_in_the_order_of_their_images() -> None:
    data = training_set()
    features = replace(data, parts=[np.arange(20, dtype=np.float32).reshape(10, 2)])
    stream = Batches(features, np.arange(10), augmentation=Augmentation(), **SETTINGS)
    for step in range(12):
        values, labels = stream[step]
        assert values.dtype == torch.float32
        assert values[:, 0].tolist() == (2 * labels).tolist()
        assert labels.tolist() == batches()[step][1].tolist()


def test_resizing_to_the_net_and_the_centre_of_padded_storage() -> None:
    assert batches(view=View(8, 16))[0][0].shape == (4, 16, 16, 3)
    pixels = np.arange(2 * 6 * 10, dtype=np.uint8).reshape(2, 6, 10, 1)
    out = View(4, 4).squares(pixels, np.array([[4, 10], [6, 4]]))
    assert np.array_equal(out[0], pixels[0, :4, 3:7])
    assert np.array_equal(out[1], pixels[1, 1:5, :4])


def test_to_float_normalises_into_channels_last() -> None:
    pixels = torch.from_numpy(SET.images)
    mean, std = torch.tensor([1.0, 2.0, 3.0])[:, None, None], torch.tensor([2.0, 4.0, 8.0])[:, None, None]
    x = to_float(pixels, mean, std)
    assert x.shape == (10, 3, 8, 8)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(x, (pixels.float().permute(0, 3, 1, 2) - mean) / std)


def test_statistics_are_those_of_all_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "STATISTICS_BYTES", 600)  # three images at a time
    mean, std = statistics(training_set())
    assert np.allclose(mean, SET.images.mean((0, 1, 2)), atol=1e-3)
    assert np.allclose(std, SET.images.std((0, 1, 2)), atol=1e-3)
    black = ImageSet(np.zeros((2, 4, 4, 1), np.uint8), pd.DataFrame(SET.table[:2]))
    assert statistics(training_set(black)) == ([0.0], [1.0])


def test_padding_does_not_count_in_the_statistics() -> None:
    pixels = np.zeros((2, 8, 8, 1), np.uint8)
    pixels[0, :4], pixels[1, :, :6] = 100, 50
    table = image_set(["a", "b"]).table.assign(height=[4, 8], width=[8, 6])
    mean, std = statistics(training_set(ImageSet(pixels, table)))
    inside = [100.0] * 32 + [50.0] * 48
    assert mean == [pytest.approx(np.mean(inside), abs=1e-4)]
    assert std == [pytest.approx(np.std(inside), abs=1e-4)]

"""The weighted sampler: classes equally often, at every position the same, from any step and for any workers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from kit.images import image_set
from kit.params import message
from touchstone.config.schema.augmentation import Augmentation
from touchstone.config.schema.data import Arm
from touchstone.data.batches import Batches, View
from touchstone.data.sampling import balancing_weights, weighted_order
from touchstone.data.training_set import combine

COUNTS = {"a": 30, "b": 9, "c": 1}
LABELS = np.repeat([0, 1, 2], list(COUNTS.values()))
DATA = combine(Arm(), train=image_set([name for name, n in COUNTS.items() for _ in range(n)]), name="x")
SETTINGS = {"batch_size": 7, "seed": 3, "num_steps": 400, "start": 0, "stop": 400, "view": View(8, 8)}


def batches(balance: float, *, start: int = 0, **online: object) -> Batches:
    return Batches(DATA, LABELS, **SETTINGS | {"start": start}, augmentation=Augmentation(**online), balance=balance)


def shares(balance: float) -> np.ndarray:
    drawn = np.concatenate([LABELS[batches(balance).images_of(step)[0]] for step in range(400)])
    return np.bincount(drawn) / len(drawn)


def test_weights_are_powers_of_the_inverse_frequencies() -> None:
    for power in (0.5, 1.0):
        expected = np.repeat([(40 / n) ** power for n in COUNTS.values()], list(COUNTS.values()))
        assert balancing_weights(LABELS, power) == pytest.approx(expected / expected.mean())
    assert np.bincount(LABELS, balancing_weights(LABELS, 1.0)).tolist() == pytest.approx([40 / 3] * 3)


def test_with_several_labels_an_image_counts_for_its_rarest_class() -> None:
    labels = np.array([[1, 0], [1, 0], [1, 1], [1, np.nan], [0, 0], [0, 0]], np.float32)
    weights = balancing_weights(labels, 1.0)  # three of class 0, one of class 1, two of none
    assert weights / weights[2] == pytest.approx([1 / 3, 1 / 3, 1, 1 / 3, 1 / 2, 1 / 2])


def test_classes_are_drawn_as_often_as_their_weights_say() -> None:
    assert shares(1.0) == pytest.approx([1 / 3] * 3, abs=0.03)
    roots = np.sqrt(list(COUNTS.values()))
    assert shares(0.5) == pytest.approx(roots / roots.sum(), abs=0.03)
    assert shares(0.0) == pytest.approx(np.array(list(COUNTS.values())) / 40, abs=0.001)


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_the_stream_is_the_same_from_anywhere_and_for_any_workers(num_workers: int) -> None:
    online = {"policy": "trivialaugment", "erase": 0.3}
    whole = batches(1.0, **online)
    rest = DataLoader(batches(1.0, start=388, **online), batch_size=None, num_workers=num_workers)
    for step, (pixels, labels) in enumerate(rest, 388):
        other, names = whole[step]
        assert torch.equal(pixels, other)
        assert torch.equal(labels, names)


def test_an_image_that_is_drawn_twice_in_an_epoch_is_changed_anew() -> None:
    stream = batches(1.0, policy="randaugment", erase=1.0)
    pixels = torch.cat([stream[step][0] for step in range(5)])[:35]
    index = np.concatenate([stream.images_of(step)[0] for step in range(5)])
    only = pixels[index == 39]  # the one image of class c
    assert len(only) > 5
    assert len({image.numpy().tobytes() for image in only}) == len(only)


def test_a_seed_draws_what_it_has_always_drawn_and_each_epoch_anew() -> None:
    weights = balancing_weights(LABELS, 1.0)
    assert weighted_order(5, 1, weights)[:8].tolist() == [39, 30, 36, 0, 31, 28, 30, 30]
    assert not np.array_equal(weighted_order(5, 2, weights), weighted_order(5, 1, weights))


def test_added_and_real_images_are_balanced_each_on_their_own() -> None:
    added = image_set(["a", "b", "b", "b"], seed=1, prefix="new")
    arm = Arm(add=("new",), schedule="pretrain", pretrain_share=0.5)
    data = combine(arm, train=DATA_SET, added_sets=[added], name="x")
    labels = np.concatenate([LABELS, [0, 1, 1, 1]])
    stream = Batches(data, labels, **SETTINGS, augmentation=Augmentation(), balance=1.0)
    first = np.concatenate([stream.images_of(step)[0] for step in range(200)])
    last = np.concatenate([stream.images_of(step)[0] for step in range(200, 400)])
    assert set(first) == {40, 41, 42, 43}
    assert np.bincount(labels[first]) / len(first) == pytest.approx([0.5, 0.5], abs=0.03)
    assert last.max() < 40
    assert np.bincount(labels[last]) / len(last) == pytest.approx([1 / 3] * 3, abs=0.04)


DATA_SET = image_set([name for name, n in COUNTS.items() for _ in range(n)])


def test_a_stream_that_shuffles_draws_what_it_drew_before() -> None:
    plain = Batches(DATA, LABELS, **SETTINGS, augmentation=Augmentation())
    assert np.array_equal(plain.images_of(3)[0], batches(0.0).images_of(3)[0])
    assert sorted(np.concatenate([plain.images_of(step)[0] for step in range(6)])[:40]) == list(range(40))
    assert replace(plain, balance=1.0).images_of(3)[0].tolist() != plain.images_of(3)[0].tolist()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train.sampler=balanced", "train.sampler: got 'balanced'"),
        ("train.sampler_power=1.5", "train.sampler_power: got 1.5"),
        (
            "models.simple={sampler: weighted, class_weights: effective}",
            "models.simple: set sampler: weighted or class_weights, not both",
        ),
    ],
)
def test_a_mistake_is_one_line(tmp_path, change: str, said: str) -> None:
    assert said in message(tmp_path, change)

"""Batches made on the device: the pixels of those made by NumPy, to the bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kit.images import image_set
from kit.training import new_run, same
from touchstone.config.schema.augmentation import Augmentation
from touchstone.config.schema.data import Arm
from touchstone.config.schema.machine import Machine
from touchstone.data.batches import Batches, View
from touchstone.data.imageset import ImageSet
from touchstone.data.resident import ResidentBatches, fits, jittered, saturated
from touchstone.data.training_set import combine
from touchstone.training import loader
from touchstone.training.loader import loader_of
from touchstone.training.loop import train_seed

CPU = torch.device("cpu")


def batches(side: int = 12, **changes: Any) -> Batches:
    """Batches of two sets of colour images over several epochs."""
    real, added = (image_set(["a", "b", "c"] * 7, side=12, seed=seed) for seed in (0, 1))
    named = ImageSet(added.images, added.table.assign(id=[f"t-{i}" for i in added.table["id"]], origin="t"))
    data = combine(Arm(add=("t",)), train=real, added_sets=[named], name="t")
    how: dict[str, Any] = {"balance": 0.0, "rows": slice(None)}
    how |= {name: changes.pop(name) for name in list(changes) if name in how}
    how |= {"batch_size": 5, "num_steps": 30, "start": 3, "stop": 30, "seed": 1}
    return Batches(data, np.arange(len(data)) % 3, View(12, side), Augmentation(**changes), **how)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hflip": True},
        {"hflip": True, "alternate_flips": True, "crop_padding": 2},
        {"crop_padding": 3, "crop_border": "reflect"},
        {"jitter_brightness": 0.4},
        {"jitter_contrast": 0.7},
        {"crop_padding": 1, "hflip": True, "jitter_brightness": 0.9, "jitter_contrast": 0.9, "balance": 1.0},
        {"crop_padding": 1, "hflip": True, "jitter_contrast": 0.5, "rows": slice(2, 4)},
        {"jitter_saturation": 0.8},
        {"hflip": True, "jitter_brightness": 0.4, "jitter_contrast": 0.4, "jitter_saturation": 0.9},
    ],
    ids=str,
)
def test_they_are_those_made_by_numpy(changes: dict[str, Any]) -> None:
    plain = batches(**changes)
    assert fits(plain, CPU)
    made = ResidentBatches(plain, CPU)
    assert len(made) == len(plain) == 27
    for one, other in zip(made, (plain[item] for item in range(len(plain))), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_jitter_rounds_as_colour_does_for_every_level() -> None:
    from touchstone.data.ops.colour import photometric

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (64, 16, 16, 3), np.uint8)
    factors = np.concatenate([rng.uniform(0, 2, (60, 2)), [(1, 1), (0, 1), (1, 0), (2, 2)]])
    made = jittered(torch.from_numpy(images), *torch.from_numpy(factors).unbind(1)).numpy()
    for image, (brightness, contrast), other in zip(images, factors.tolist(), made, strict=True):
        np.testing.assert_array_equal(photometric(image, brightness=brightness, contrast=contrast), other)


def test_saturation_rounds_as_colour_does() -> None:
    from touchstone.data.ops.colour import saturate

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (64, 32, 32, 3), np.uint8)
    factors = np.concatenate([rng.uniform(0, 3, 61), [0, 1, 0.5]])
    made = saturated(torch.from_numpy(images), torch.from_numpy(factors)).numpy()
    for image, factor, other in zip(images, factors, made, strict=True):
        np.testing.assert_array_equal(saturate(image, factor), other)


@pytest.mark.parametrize(
    "changes",
    [
        {"rotate_deg": 5},
        {"jitter_hue": 0.1},
        {"jitter_hue": 0.1, "jitter_saturation": 0.1},
        {"erase": 0.5},
        {"crop_scale": 0.5},
        {"side": 8},
    ],
    ids=str,
)
def test_what_the_device_cannot_do_alike_is_left_to_numpy(changes: dict[str, Any]) -> None:
    plain = batches(**changes)
    assert not fits(plain, CPU)


def test_a_cpu_keeps_no_second_copy_of_the_images() -> None:
    assert not isinstance(loader_of(batches(), Machine(accelerator="cpu", resident=True)), ResidentBatches)


@pytest.mark.parametrize("engine", ["torch", "lightning"])
def test_training_on_them_gives_the_same_bytes(tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "DEVICES", ("cpu",))
    weights = []
    for resident in (False, True):
        run = new_run(engine=engine, jitter_contrast=0.3)
        object.__setattr__(run, "machine", run.machine.model_copy(update={"resident": resident}))
        made = loader_of(batches(), run.machine)
        assert isinstance(made, ResidentBatches) == resident
        weights.append(train_seed(run, seed=0, state_file=tmp_path / f"{resident}.pt").weights)
    assert same(*weights)

"""Colours: held against a library's, and by what must stay as it is."""

import colorsys

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from touchstone.config.sections import Transform
from touchstone.data.augment import Online
from touchstone.data.ops.colour import photometric, saturate, turn_hue
from touchstone.data.transforms import apply

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (16, 16, 3), np.uint8)
GREYS = np.repeat(RNG.integers(0, 256, (8, 8, 1), np.uint8), 3, axis=2)


def difference(one: np.ndarray, two: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - two.astype(int)).max())


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.7])
def test_brightness_saturation_and_contrast_are_torchvisions(factor: float) -> None:
    chw = torch.from_numpy(COLOURS.transpose(2, 0, 1).copy())
    functions = v2.functional
    bright = functions.adjust_brightness(chw, factor).numpy().transpose(1, 2, 0)
    assert difference(photometric(COLOURS, brightness=factor), bright) <= 1
    vivid = functions.adjust_saturation(chw, factor).numpy().transpose(1, 2, 0)
    assert difference(saturate(COLOURS, factor), vivid) <= 2
    mean = COLOURS.mean()
    plain = np.clip(np.floor((COLOURS - mean) * factor + mean + 0.5), 0, 255)
    assert difference(photometric(COLOURS, contrast=factor), plain) == 0


@pytest.mark.parametrize("turn", [-0.3, 0.1, 0.5])
def test_the_hue_turns_by_so_much_of_the_circle(turn: float) -> None:
    turned = turn_hue(COLOURS, turn)
    for old, new in zip(COLOURS.reshape(-1, 3), turned.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(old / 255))
        expected = np.array(colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)) * 255
        assert np.abs(expected - new).max() <= 1


def test_greys_have_neither_saturation_nor_hue() -> None:
    assert difference(saturate(GREYS, 3.0), GREYS) == 0
    assert difference(turn_hue(GREYS, 0.3), GREYS) <= 1


def test_a_fixed_transform_changes_colours_after_its_geometry() -> None:
    settings = Transform(hflip=True, saturation=0.0, hue=0.25)
    assert difference(apply(COLOURS, settings), turn_hue(saturate(COLOURS[:, ::-1], 0.0), 0.25)) == 0
    both = apply(COLOURS, Transform(contrast=0.5, brightness=1.2))
    assert difference(both, photometric(COLOURS, contrast=0.5, brightness=1.2)) == 0


def test_online_colours_and_rotation_hang_on_what_is_drawn() -> None:
    online = Online(saturation=0.5, hue=0.1, rotate_deg=30.0)
    images = np.stack([COLOURS] * 3)
    drawn = online.drawn(0, 0, 3)
    out = online.apply(images, drawn, input_px=16)
    assert difference(out[0], out[1]) > 20
    assert np.array_equal(out, online.apply(images, drawn, input_px=16))
    assert np.array_equal(images[0], COLOURS), "what is stored stays"
    middle = np.array([[0.0, 0.0, 0.0, *[0.5] * 9]])  # no turn, factors of 1
    assert difference(online.apply(images[:1], middle, input_px=16)[0], COLOURS) <= 2
    assert bool(Online(rotate_deg=1.0))
    assert bool(Online(hue=0.1))


def test_old_draws_stay_when_new_kinds_are_added() -> None:
    """What crops and flips draw for a seed is part of every result there is."""
    drawn = Online(crop_padding=2).drawn(5, 1, 4)
    assert drawn.shape == (4, 12)
    assert drawn[:, :3].tolist() == [[4, 2, 1], [0, 4, 0], [1, 1, 1], [0, 4, 1]]
    assert drawn[:, 3].tolist() == pytest.approx([0.169585, 0.364436, 0.532971, 0.585314], abs=1e-6)

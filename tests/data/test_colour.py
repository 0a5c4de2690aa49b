"""Colour operations, compared with those of libraries."""

import colorsys

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from touchstone.config.schema.data import Transform
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
def test_the_hue_turns_by_the_given_share_of_the_circle(turn: float) -> None:
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

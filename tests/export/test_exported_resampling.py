"""Resizing by matrices against the pipeline's own, for all modes, enlarged and reduced, with and without crops."""

import numpy as np
import pytest
import torch

from touchstone.data.batches import View
from touchstone.data.ops.resize import MODES, resize
from touchstone.export.resampling import windows

SIDE = 32
SIZES = [(32, 32), (64, 64), (33, 97), (97, 33), (40, 20), (20, 40), (1, 50), (150, 7), (31, 32), (31, 130), (129, 131)]


def ours(image: np.ndarray, mode: str, view: View) -> torch.Tensor:
    stored = resize(image, size_px=SIDE, mode=mode)
    sizes = np.array([stored.shape[:2]]) if mode == "shortest_edge" else None
    return view.seen(stored[None], sizes).flatten(0, -4).permute(0, 3, 1, 2).float()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("crop_px", [0, 20])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_resampling_differs_by_a_grey_level_at_most(mode: str, crop_px: int, channels: int) -> None:
    rng, view = np.random.default_rng(0), View(SIDE, crop_px or SIDE, crop_px)
    for height, width in SIZES:
        image = rng.integers(0, 256, (height, width, channels), np.uint8)
        found = windows(torch.from_numpy(image[None]), size_px=SIDE, mode=mode, view=view)
        assert (found - ours(image, mode, view)).abs().max() <= 1, (height, width)


@pytest.mark.parametrize("input_px", [24, 40])
def test_two_resamplings_differ_by_two_grey_levels_at_most(input_px: int) -> None:
    rng = np.random.default_rng(0)
    for crop_px in (0, 20):
        image, view = rng.integers(0, 256, (50, 70, 3), np.uint8), View(SIDE, input_px, crop_px)
        found = windows(torch.from_numpy(image[None]), size_px=SIDE, mode="shortest_edge", view=view)
        assert (found - ours(image, "shortest_edge", view)).abs().max() <= 2


@pytest.mark.parametrize("mode", MODES)
def test_a_prepared_image_passes_unchanged(mode: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    found = windows(torch.from_numpy(images), size_px=SIDE, mode=mode, view=View(SIDE, SIDE))
    assert torch.equal(found, torch.from_numpy(images).permute(0, 3, 1, 2).float())

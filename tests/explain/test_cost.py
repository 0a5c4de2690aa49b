"""Tests how much a net's size lets the stage explain: counted operations decide, so machines agree."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from touchstone.config.schema.explain import Explain
from touchstone.explain.cost import Extent, extent, operations

NET = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 256, 10)).eval()
IMAGE = torch.zeros(1, 3, 16, 16)
ONCE = 2 * (16 * 16 * 8 * 27 + 8 * 256 * 10)  # operations of a pass


def allowed(share: float, **settings: object) -> Extent:
    """The extent at a share of what the whole explanation takes."""
    explain = Explain(**settings)
    whole = Extent(8, 8, 8, explain.randomised, explain.doublings).passes(explain) * 3 * ONCE
    return extent(NET, IMAGE, 8, explain.model_copy(update={"max_teraflop": share * whole / 1e12}))


def test_a_multiply_add_counts_as_two_operations() -> None:
    assert operations(NET, IMAGE) == ONCE


def test_a_cheap_net_is_explained_whole_and_a_costly_one_less_and_less() -> None:
    assert allowed(1.001) == Extent(8, 8, 8, 5, 5)
    assert allowed(0.999) == Extent(8, 8, 8, 5, 3)
    extents = [allowed(share) for share in (1.001, 0.5, 0.3, 0.2, 0.15, 0.05, 1e-9)]
    assert extents[-1] == Extent(8, 2, 1, 1, 1), "at the least two images"
    for more, fewer in pairwise(extents):
        assert (more.images, more.checked, more.stages, more.doublings) >= (
            fewer.images, fewer.checked, fewer.stages, fewer.doublings
        )  # fmt: skip


def test_images_by_name_are_all_explained() -> None:
    assert allowed(1e-9, files=tuple("abcdefgh")).images == 8


@pytest.mark.parametrize("share", [0.6, 0.3, 0.2, 0.1])
def test_what_is_computed_stays_below_the_limit(share: float) -> None:
    found, explain = allowed(share), Explain()
    assert found.passes(explain) <= share * Extent(8, 8, 8, 5, 5).passes(explain)

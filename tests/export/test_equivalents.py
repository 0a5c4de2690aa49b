"""Layers that are replaced in exported files compute the same numbers."""

import pytest
import torch
from torch import nn

from touchstone.export.equivalents import WindowMaxima, with_equivalents


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (7, 5), (3, 8)])
@pytest.mark.parametrize("sides", [1, 2, (3, 2)])
def test_window_maxima_are_those_of_adaptive_max_pooling(shape: tuple[int, int], sides: int | tuple[int, int]) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveMaxPool2d(sides))
    x = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = net(x)
        replaced = with_equivalents(net)
        assert isinstance(replaced[1], WindowMaxima)  # type: ignore[index]
        assert torch.equal(replaced(x), expected)

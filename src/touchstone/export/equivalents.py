"""Layers that ONNX has no operation for, replaced by others that compute the same numbers."""

import torch
from torch import nn


class WindowMaxima(nn.Module):
    """torch's AdaptiveMaxPool2d, written as the highest values of windows: (B, C, H, W) -> (B, C, rows, columns)."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.sides = rows, columns

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        top, left = (_windows(side, count) for side, count in zip(x.shape[2:], self.sides, strict=True))
        rows = [torch.stack([x[:, :, a:b, c:d].amax((2, 3)) for c, d in left], 2) for a, b in top]
        return torch.stack(rows, 2)


def _windows(side: int, count: int) -> list[tuple[int, int]]:
    """The start and end of each of `count` windows that cover `side` pixels, as torch places them."""
    return [(i * side // count, -(-(i + 1) * side // count)) for i in range(count)]


def with_equivalents(net: nn.Module) -> nn.Module:
    """Replace such layers in place, and return the net."""
    for name, layer in list(net.named_modules()):
        if isinstance(layer, nn.AdaptiveMaxPool2d) and not layer.return_indices:
            sides = layer.output_size if isinstance(layer.output_size, tuple) else (layer.output_size,) * 2
            if name and None not in sides:
                net.set_submodule(name, WindowMaxima(*sides))  # type: ignore[arg-type]
    return net

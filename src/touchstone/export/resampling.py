"""The resizing of `data/ops/resize.py` as two matrices, so that a file can resize images of any size in any runtime.

A resized row is a weighted sum of rows, and a column of columns. The weights follow from the sizes in whole numbers,
which every runtime computes exactly: areas to shrink, linear interpolation to enlarge, as OpenCV defines them. An image
that has its final size already passes unchanged. OpenCV interpolates in steps of 1/2048 and so may differ by a grey
level; docs/export.md has what was measured.
"""

import torch

from touchstone.data.batches import View
from touchstone.data.ops.resize import LONGEST

Axis = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
"""int64 scalars of one axis, in px: the first pixel of the part that is shown, its length, its scaled length, and the
scaled pixel at which the stored image begins (negative where it is padded)."""


def resampled(pixels: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Resample (N, H, W, C) to float32 (N, C, P, Q), rounded to whole grey levels. rows: (P, H). columns: (Q, W)."""
    x = rows @ pixels.float().flatten(2)  # (N, P, W * C)
    x = x.unflatten(2, (pixels.shape[2], pixels.shape[3])).transpose(2, 3) @ columns.T  # (N, P, C, Q)
    return x.transpose(1, 2).round().clamp(0, 255)


def windows(pixels: torch.Tensor, *, size_px: int, mode: str, view: View) -> torch.Tensor:
    """Resize uint8 (N, H, W, C) as `resize` does and cut what `view` shows: float32 (N * crops, C, P, P)."""
    along = [torch.arange(side) for side in pixels.shape[1:3]]
    axes = stored(along[0].amax(0) + 1, along[1].amax(0) + 1, size_px=size_px, mode=mode)
    side, places = view.size_px, [(1, 1)]  # in halves of the distance that a window may move
    if view.crop_px:
        side, places = view.crop_px, [(0, 0), (0, 2), (2, 0), (2, 2), (1, 1)]
    weights = {
        (axis, place): _window(axes, axis, along[axis], place, side, size_px) for axis in (0, 1) for place in (0, 1, 2)
    }
    cut = [resampled(pixels, weights[0, top], weights[1, left]) for top, left in places]
    if side != view.input_px:
        square = (torch.tensor(0), torch.tensor(side), torch.tensor(view.input_px), torch.tensor(0))
        fixed = _weights((square, square), 0, torch.arange(side), torch.arange(view.input_px))
        cut = [resampled(one.permute(0, 2, 3, 1), fixed, fixed) for one in cut]
    return torch.stack(cut, 1).flatten(0, 1) if len(cut) > 1 else cut[0]


def stored(height: torch.Tensor, width: torch.Tensor, *, size_px: int, mode: str) -> tuple[Axis, Axis]:
    """Return how `resize` makes the stored image, for rows and columns. height, width: int64 scalars."""
    zero, size = torch.zeros_like(height), torch.full_like(height, size_px)
    shorter, longer = torch.minimum(height, width), torch.maximum(height, width)
    if mode == "squash":
        return (zero, height, size, zero), (zero, width, size, zero)
    if mode == "crop":
        return tuple(((side - shorter) // 2, shorter, size, zero) for side in (height, width))  # type: ignore[return-value]
    if mode == "pad":
        inner = [_quotient(side * size_px, longer).clamp(min=1) for side in (height, width)]
        return tuple((zero, side, one, -((size - one) // 2)) for side, one in zip((height, width), inner, strict=True))  # type: ignore[return-value]
    shown = [torch.minimum(side, 2 * LONGEST * shorter) for side in (height, width)]
    scaled_longer = _quotient(size_px * torch.maximum(*shown), shorter)
    is_longer = [height > width, height <= width]
    axes = []
    for side, part, long in zip((height, width), shown, is_longer, strict=True):
        scaled = torch.where(long, scaled_longer, size)
        axes.append(((side - part) // 2, part, scaled, (scaled - scaled.clamp(max=LONGEST * size_px)) // 2))
    return axes[0], axes[1]


def _window(
    axes: tuple[Axis, Axis], axis: int, along: torch.Tensor, place: int, side: int, size_px: int
) -> torch.Tensor:
    """Weights (side, H) of a window of the stored image: at its start, in its middle, or at its end (place 0, 1, 2)."""
    _, _, scaled, begin = axes[axis]
    length = torch.where(begin < 0, torch.full_like(scaled, size_px), scaled.clamp(max=LONGEST * size_px))
    length = torch.maximum(length, torch.full_like(scaled, size_px))
    start = begin + (length - side) * place // 2
    return _weights(axes, axis, along, start + torch.arange(side))


def _weights(axes: tuple[Axis, Axis], axis: int, along: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Weights float32 (P, H) of the pixels `along` (H,) in the scaled pixels `rows` (P,); 0 outside of them."""
    first, length, scaled, _ = axes[axis]
    (_, height, tall, _), (_, width, wide, _) = axes
    shrinks = tall * wide < height * width
    whole = shrinks & (height >= tall) & (width >= wide)
    i, j = rows[:, None], (along - first)[None]  # (P, 1), (1, H)
    area = torch.minimum((i + 1) * length, (j + 1) * scaled) - torch.maximum(i * length, j * scaled)
    area = area.clamp(min=0).float() / length
    place = torch.minimum(((2 * i + 1) * length - scaled).clamp(min=0), 2 * scaled * (length - 1))
    linear = (2 * scaled - (place - 2 * scaled * j).abs()).clamp(min=0).float() / (2 * scaled)
    # Where one side shrinks and the other grows, OpenCV takes two neighbours, chosen by the area they cover.
    near = torch.minimum(torch.div(i * length, scaled, rounding_mode="floor"), length - 1)
    share = ((i + 1) * length - (near + 1) * scaled).clamp(min=0).float() / length
    share = torch.where(near < length - 1, share, torch.zeros_like(share))
    mixed = (j == near) * (1 - share) + (j == near + 1) * share
    out = torch.where(whole, area, torch.where(shrinks, mixed, linear))
    inside = (i >= 0) & (i < scaled) & (j >= 0) & (j < length)
    return torch.where(inside, out, torch.zeros_like(out))


def _quotient(above: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    """Divide whole numbers and round to the nearest, halves to the even one, as Python's `round` does."""
    whole = torch.div(above, below, rounding_mode="floor")
    twice = 2 * (above - whole * below)
    return whole + ((twice > below) | ((twice == below) & (whole % 2 == 1))).long()

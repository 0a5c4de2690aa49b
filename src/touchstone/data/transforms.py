"""Fixed transforms: ImageSet -> ImageSet, one new image of each, in one resampling.

Geometry about the image's centre, in this order: flip, zoom, rotation, shift (geometry.py). Then colours: contrast and
brightness, saturation, hue (colour.py).
"""

from typing import cast

import numpy as np

from touchstone.config.sections import Transform
from touchstone.data.imageset import ImageSet
from touchstone.data.ops.colour import photometric, saturate, turn_hue
from touchstone.data.ops.geometry import inverse_map, warp


def transform(images: ImageSet, *, name: str, settings: Transform) -> ImageSet:
    """The addition set `name`: as many images, of the same labels; `source_id` is the image each was made from.

    Pixels are made when they are asked for, block by block: the set is not held in memory.
    """
    table = images.table.assign(
        id=[f"{name}-{image_id}" for image_id in images.table["id"]], source_id=images.table["id"], origin=name
    )
    return ImageSet(cast(np.ndarray, _Transformed(images, settings)), table)


class _Transformed:
    """Looks like uint8 (N, H, W, C): rows are transformed as they are taken."""

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, images: ImageSet, settings: Transform) -> None:
        self.source, self.sizes, self.settings = images.images, images.sizes(), settings
        self.shape = images.images.shape

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        out = np.zeros((len(rows), *self.shape[1:]), np.uint8)
        for i, row in enumerate(rows):
            height, width = self.sizes[row]
            out[i, :height, :width] = apply(np.asarray(self.source[row, :height, :width]), self.settings)
        return out


def apply(pixels: np.ndarray, settings: Transform) -> np.ndarray:
    """One transform of one image, uint8 (H, W, C) -> uint8 (H, W, C)."""
    s = settings
    matrix = inverse_map(
        *pixels.shape[:2],
        rotate_deg=s.rotate_deg,
        shift_x=s.shift_x,
        shift_y=s.shift_y,
        zoom=s.zoom,
        hflip=s.hflip,
    )
    out = photometric(warp(pixels, matrix), brightness=s.brightness, contrast=s.contrast)
    if s.saturation != 1:
        out = saturate(out, s.saturation)
    return turn_hue(out, s.hue) if s.hue else out

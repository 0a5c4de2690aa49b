"""Fixed transforms: one new image per image of a set, in a single resampling.

Flip, zoom, rotation and shift about the image's centre come first (ops/geometry.py); then contrast and brightness,
saturation, and hue (ops/colour.py).
"""

import numpy as np

from touchstone.config.schema.data import Transform
from touchstone.data.imageset import ImageSet, valid_sizes
from touchstone.data.lazy_images import LazyImages, as_array, equal_sizes, release
from touchstone.data.ops.colour import photometric, saturate, turn_hue
from touchstone.data.ops.geometry import inverse_map, warp
from touchstone.data.sheets import valid_area


def transform(images: ImageSet, *, name: str, settings: Transform) -> ImageSet:
    """Return the added set `name`, with the same labels. Pixels are computed when they are read."""
    table = images.table.assign(
        id=[f"{name}-{image_id}" for image_id in images.table["id"]], source_id=images.table["id"], origin=name
    )
    return ImageSet(as_array(_Transformed(images, settings)), table)


class _Transformed(LazyImages):
    """Images that are transformed when they are read."""

    def __init__(self, images: ImageSet, settings: Transform) -> None:
        pixels, sizes = images.images, valid_sizes(images.table)
        sizes = equal_sizes(len(pixels), pixels.shape[1:]) if sizes is None else sizes
        super().__init__(sizes, pixels.shape[3], pixels.dtype)
        self.images, self.settings = images, settings

    def release(self) -> None:
        release(self.images.images)

    def _image(self, row: int) -> np.ndarray:
        return apply(valid_area(self.images, row), self.settings)


def apply(pixels: np.ndarray, settings: Transform) -> np.ndarray:
    """Transform an image, pixels (H, W, C)."""
    s = settings
    matrix = inverse_map(
        *pixels.shape[:2], rotate_deg=s.rotate_deg, shift_x=s.shift_x, shift_y=s.shift_y, zoom=s.zoom, hflip=s.hflip
    )
    out = photometric(warp(pixels, matrix), brightness=s.brightness, contrast=s.contrast)
    if s.saturation != 1:
        out = saturate(out, s.saturation)
    return turn_hue(out, s.hue) if s.hue else out

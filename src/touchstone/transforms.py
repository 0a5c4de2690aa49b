"""Fixed transforms: ImageSet -> ImageSet, one new image of each, in one resampling.

Geometry about the image's centre, in this order: flip, zoom, rotation, shift. Bilinear (OpenCV's fixed-point
weights, 1/32 px), beyond the border the nearest edge pixel; then brightness as a factor, rounded and clipped.
"""

import math
from typing import cast

import cv2
import numpy as np

from touchstone.imageset import ImageSet
from touchstone.sections import Transform


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
    height, width = pixels.shape[:2]
    matrix = inverse_map(height, width, settings)
    moved = cv2.warpAffine(
        np.ascontiguousarray(pixels),
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    ).reshape(pixels.shape)
    return cv2.LUT(moved, _brightness(settings.brightness)).reshape(pixels.shape)


def inverse_map(height: int, width: int, settings: Transform) -> np.ndarray:
    """float64 (2, 3): where (x, y, 1) of the output, in px from the centre of the first pixel, comes from."""
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = np.array([settings.shift_x * width, settings.shift_y * height])
    angle = math.radians(settings.rotate_deg)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])  # y points down
    flip = np.diag([-1.0 if settings.hflip else 1.0, 1.0])
    linear = flip @ (settings.zoom * turn)
    offset = centre - linear @ (centre + shift)
    return np.hstack([linear, offset[:, None]])


def _brightness(factor: float) -> np.ndarray:
    """uint8 (256,): grey level -> grey level."""
    return np.clip(np.floor(np.arange(256) * factor + 0.5), 0, 255).astype(np.uint8)

"""Flip, zoom, rotation and shift of an image about its centre, in one resampling by OpenCV."""

import math
from typing import Any

import cv2
import numpy as np

from touchstone.data.levels import per_level
from touchstone.data.ops.resize import by_channels


def inverse_map(
    height: int,
    width: int,
    *,
    rotate_deg: float = 0.0,
    shift_x: float = 0.0,
    shift_y: float = 0.0,
    zoom: float = 1.0,
    hflip: bool = False,
) -> np.ndarray:
    """Return the matrix, float64 (2, 3), from output points (x, y, 1) to input points (x, y).

    Points are in px from the centre of the first pixel. rotate_deg: counter-clockwise. shift_x, shift_y: to the right
    and downwards, as shares of the width and the height. zoom: the share of the side that stays visible.
    """
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = np.array([shift_x * width, shift_y * height])
    angle = math.radians(rotate_deg)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])  # y points down
    flip = np.diag([-1.0 if hflip else 1.0, 1.0])
    linear = flip @ (zoom * turn)
    offset = centre - linear @ (centre + shift)
    return np.hstack([linear, offset[:, None]])


def shear_map(*, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """Return such a matrix that shears about the upper left corner: x pixels per row, or y pixels per column."""
    linear = np.array([[1.0, x], [y, 1.0]])
    corner = np.array([-0.5, -0.5])  # in px from the centre of the first pixel
    return np.hstack([linear, (corner - linear @ corner)[:, None]])


def warp(pixels: np.ndarray, matrix: np.ndarray, *, fill: int | None = None) -> np.ndarray:
    """Resample pixels (H, W, C) by a matrix of `inverse_map`, bilinearly in steps of 1/32 px.

    fill: the grey level beyond the edge; None repeats the edge.
    """
    height, width = pixels.shape[:2]
    flags, pixels = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, np.ascontiguousarray(pixels)
    border = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
    levels = (float(fill or 0) * per_level(pixels.dtype),) * 4
    how: Any = {"flags": flags, "borderMode": border, "borderValue": levels}
    return by_channels(lambda image: cv2.warpAffine(image, matrix, (width, height), **how), pixels)

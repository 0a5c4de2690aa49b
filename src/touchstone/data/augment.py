"""Online augmentation: each image is changed anew in each epoch, by numbers that hang on (seed, epoch, image) alone."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from touchstone.data.ops.colour import photometric, saturate, turn_hue
from touchstone.data.ops.geometry import inverse_map, warp
from touchstone.data.ops.resize import scale
from touchstone.seeds import generator

# Columns of what is drawn for an image: whole numbers, the rest in [0, 1).
TOP_LEFT, FLIP, CROP, JITTER, ANGLE = slice(0, 2), 2, slice(3, 7), slice(7, 11), 11


@dataclass(frozen=True)
class Online:
    """Rotation, then random crop after padding or random resized crop (Szegedy et al. 2014, arXiv 1409.4842), mirror
    images, then colours.

    rotate_deg: an angle between minus and plus this. crop_padding: px of zeros on each side. crop_scale: least share
    of the area (1: none), crop_ratio: how much the sides may differ. hflip: mirror with probability 1/2. brightness,
    contrast, saturation: grey levels, their distances from the image's mean and from the pixel's grey are multiplied by
    a factor between 1 - b and 1 + b. hue: a turn between minus and plus this, 1 being the circle; both of three
    channels alone.
    """

    crop_padding: int = 0
    crop_scale: float = 1.0
    crop_ratio: float = 4 / 3
    hflip: bool = False
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    rotate_deg: float = 0.0

    def __bool__(self) -> bool:
        moves = self.crop_padding or self.crop_scale < 1 or self.hflip or self.rotate_deg
        return bool(moves or self._colours)

    @property
    def _colours(self) -> bool:
        return bool(self.brightness or self.contrast or self.saturation or self.hue)

    def drawn(self, seed: int, epoch: int, count: int) -> np.ndarray:
        """What is drawn for each of `count` images in an epoch, float64 (count, 12)."""
        return _drawn(seed, epoch, count, self.crop_padding)

    def apply(self, squares: np.ndarray, drawn: np.ndarray, *, input_px: int) -> np.ndarray:
        """uint8 (B, S, S, C), drawn (B, 12) -> uint8 (B, P, P, C); P: input_px after resized crops, else S.

        Without crops images need not be square.
        """
        if self.rotate_deg:
            squares = self._rotated(squares, drawn)
        crops = self._resized_crops(squares, drawn, input_px) if self.crop_scale < 1 else self._crops(squares, drawn)
        if self.hflip:
            flipped = drawn[:, FLIP] == 1
            crops[flipped] = crops[flipped, :, ::-1]
        return self._jittered(crops, drawn) if self._colours else crops

    def _rotated(self, squares: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        height, width = squares.shape[1:3]
        angles = (2 * drawn[:, ANGLE] - 1) * self.rotate_deg
        pairs = zip(squares, angles.tolist(), strict=True)
        return np.stack([warp(image, inverse_map(height, width, rotate_deg=angle)) for image, angle in pairs])

    def _crops(self, squares: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        count, side, p = len(squares), squares.shape[1], self.crop_padding
        if not p:
            return squares.copy()
        padded = np.zeros((count, side + 2 * p, side + 2 * p, squares.shape[3]), np.uint8)
        padded[:, p : p + side, p : p + side] = squares
        out = np.empty_like(squares)
        for i, (top, left) in enumerate(drawn[:, TOP_LEFT].astype(int).tolist()):
            out[i] = padded[i, top : top + side, left : left + side]
        return out

    def _resized_crops(self, squares: np.ndarray, drawn: np.ndarray, input_px: int) -> np.ndarray:
        side = squares.shape[1]
        out = np.empty((len(squares), input_px, input_px, squares.shape[3]), np.uint8)
        for i, (area, ratio, top, left) in enumerate(drawn[:, CROP].tolist()):
            share = self.crop_scale + (1 - self.crop_scale) * area
            stretch = math.exp((2 * ratio - 1) * math.log(self.crop_ratio) / 2)  # of the width; the height shrinks
            height, width = (min(side, max(1, round(side * math.sqrt(share) * f))) for f in (1 / stretch, stretch))
            y, x = int(top * (side - height + 1)), int(left * (side - width + 1))
            out[i] = scale(squares[i, y : y + height, x : x + width], input_px, input_px)
        return out

    def _jittered(self, crops: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        between = 2 * drawn[:, JITTER] - 1  # -1 .. 1
        factors = 1 + between[:, :3] * [self.brightness, self.contrast, self.saturation]
        turns = between[:, 3] * self.hue
        for i, ((brightness, contrast, saturation), turn) in enumerate(zip(factors.tolist(), turns, strict=True)):
            if self.brightness or self.contrast:
                crops[i] = photometric(crops[i], brightness=brightness, contrast=contrast)
            if self.saturation:
                crops[i] = saturate(crops[i], saturation)
            if self.hue:
                crops[i] = turn_hue(crops[i], turn)
        return crops


@lru_cache(maxsize=4)
def _drawn(seed: int, epoch: int, count: int, padding: int) -> np.ndarray:
    whole = generator(seed, "augment", epoch).integers(0, [2 * padding + 1, 2 * padding + 1, 2], (count, 3))
    more = [
        generator(seed, purpose, epoch).random((count, columns))
        for purpose, columns in (("resized crop", 4), ("jitter", 2), ("colour", 2), ("rotation", 1))
    ]
    return np.hstack([whole, *more])

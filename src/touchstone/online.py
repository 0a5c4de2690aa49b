"""Online augmentation: each image is changed anew in each epoch, by numbers that hang on (seed, epoch, image) alone."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from touchstone.resize import scale
from touchstone.seeds import generator

NUMBERS = 9  # drawn for an image: top, left, flip; area, ratio, top, left; brightness, contrast


@dataclass(frozen=True)
class Online:
    """Random crop after padding or random resized crop (Szegedy et al. 2014, arXiv 1409.4842), mirror images, jitter.

    crop_padding: px of zeros on each side. crop_scale: least share of the area (1: none), crop_ratio: how much the
    sides may differ. hflip: mirror with probability 1/2. brightness, contrast: grey levels, and their distances from
    its mean, are multiplied by a factor between 1 - b and 1 + b.
    """

    crop_padding: int = 0
    crop_scale: float = 1.0
    crop_ratio: float = 4 / 3
    hflip: bool = False
    brightness: float = 0.0
    contrast: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.crop_padding or self.crop_scale < 1 or self.hflip or self.brightness or self.contrast)

    def drawn(self, seed: int, epoch: int, count: int) -> np.ndarray:
        """What is drawn for each of `count` images in an epoch, float64 (count, NUMBERS)."""
        return _drawn(seed, epoch, count, self.crop_padding)

    def apply(self, squares: np.ndarray, drawn: np.ndarray, *, input_px: int) -> np.ndarray:
        """uint8 (B, S, S, C), drawn (B, NUMBERS) -> uint8 (B, P, P, C); P: input_px after resized crops, else S."""
        crops = self._resized_crops(squares, drawn, input_px) if self.crop_scale < 1 else self._crops(squares, drawn)
        if self.hflip:
            flipped = drawn[:, 2] == 1
            crops[flipped] = crops[flipped, :, ::-1]
        return self._jittered(crops, drawn) if self.brightness or self.contrast else crops

    def _crops(self, squares: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        count, side, p = len(squares), squares.shape[1], self.crop_padding
        if not p:
            return squares.copy()
        padded = np.zeros((count, side + 2 * p, side + 2 * p, squares.shape[3]), np.uint8)
        padded[:, p : p + side, p : p + side] = squares
        out = np.empty_like(squares)
        for i, (top, left) in enumerate(drawn[:, :2].astype(int).tolist()):
            out[i] = padded[i, top : top + side, left : left + side]
        return out

    def _resized_crops(self, squares: np.ndarray, drawn: np.ndarray, input_px: int) -> np.ndarray:
        side = squares.shape[1]
        out = np.empty((len(squares), input_px, input_px, squares.shape[3]), np.uint8)
        for i, (area, ratio, top, left) in enumerate(drawn[:, 3:7].tolist()):
            share = self.crop_scale + (1 - self.crop_scale) * area
            stretch = math.exp((2 * ratio - 1) * math.log(self.crop_ratio) / 2)  # of the width; the height shrinks
            height, width = (min(side, max(1, round(side * math.sqrt(share) * f))) for f in (1 / stretch, stretch))
            y, x = int(top * (side - height + 1)), int(left * (side - width + 1))
            out[i] = scale(squares[i, y : y + height, x : x + width], input_px, input_px)
        return out

    def _jittered(self, crops: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        factors = 1 + (2 * drawn[:, 7:] - 1) * [self.brightness, self.contrast]
        levels = np.arange(256)
        for i, (brightness, contrast) in enumerate(factors.tolist()):
            mean = crops[i].mean()
            table = ((levels - mean) * contrast + mean) * brightness
            crops[i] = table.round().clip(0, 255).astype(np.uint8)[crops[i]]
        return crops


@lru_cache(maxsize=4)
def _drawn(seed: int, epoch: int, count: int, padding: int) -> np.ndarray:
    whole = generator(seed, "augment", epoch).integers(0, [2 * padding + 1, 2 * padding + 1, 2], (count, 3))
    more = [
        generator(seed, "resized crop", epoch).random((count, 4)),
        generator(seed, "jitter", epoch).random((count, 2)),
    ]
    return np.hstack([whole, *more])

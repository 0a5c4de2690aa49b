"""Online augmentation: training images are changed at random in every epoch.

The random numbers depend on (seed, epoch, image) alone, so any process can compute any step.

To add an operation, add its settings to `config/schema/augmentation.py`, a function of one image to `data/ops/`, and
here a function of a batch that calls it, with its line in OPERATIONS.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from touchstone.config.schema.augmentation import Augmentation
from touchstone.data import policies
from touchstone.data.ops.colour import photometric, saturate, turn_hue
from touchstone.data.ops.erasing import erase
from touchstone.data.ops.geometry import inverse_map, warp
from touchstone.data.ops.resize import scale
from touchstone.seeds import generator, substream

CROP_AND_MIRROR, JITTER, COLOUR = "augment", "jitter", "colour"  # purposes of what a device can do, see `resident`
BORDERS: dict[str, Any] = {"zeros": "constant", "reflect": "reflect"}  # crop_border -> NumPy's mode of padding


def draw(settings: Augmentation, *, seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the random numbers of `count` images in an epoch, float64 (count, columns)."""
    return _drawn(seed, epoch, count, settings.crop_padding, settings.alternate_flips)


def augment(images: np.ndarray, drawn: np.ndarray, settings: Augmentation, *, input_px: int) -> np.ndarray:
    """Apply the operations that the settings switch on, in the order of OPERATIONS, to copies of the images.

    images: pixels (B, S, S, C), which need not be square unless they are cropped. drawn: their rows of `draw`'s result.
    Returns pixels (B, P, P, C), where P is `input_px` after a random resized crop and S otherwise.
    """
    numbers, wanted = numbers_of(drawn), switched_on(settings)
    for operation in OPERATIONS:
        if operation.purpose in wanted:
            images = operation.apply(images, numbers[operation.purpose], settings, input_px)
    return images


def numbers_of(drawn: np.ndarray) -> dict[str, np.ndarray]:
    """Return the numbers of each operation, (B, num_draws), by its purpose. drawn: rows of `draw`'s result."""
    columns = np.split(drawn, np.cumsum([operation.num_draws for operation in OPERATIONS])[:-1], axis=1)
    return {operation.purpose: numbers for operation, numbers in zip(OPERATIONS, columns, strict=True)}


def switched_on(settings: Augmentation) -> set[str]:
    """Return the purposes of the operations that the settings switch on."""
    defaults = Augmentation.model_fields
    return {
        operation.purpose
        for operation in OPERATIONS
        if any(getattr(settings, name) != defaults[name].default for name in operation.switches)
    }


def _rotate(images: np.ndarray, drawn: np.ndarray, settings: Augmentation, input_px: int) -> np.ndarray:
    height, width = images.shape[1:3]
    out = np.empty_like(images)
    for i, angle in enumerate(((2 * drawn[:, 0] - 1) * settings.rotate_deg).tolist()):
        out[i] = warp(images[i], inverse_map(height, width, rotate_deg=angle))
    return out


def _resized_crop(images: np.ndarray, drawn: np.ndarray, settings: Augmentation, input_px: int) -> np.ndarray:
    """Scale a rectangle of random area and shape to the net's input (Szegedy et al. 2014, arXiv 1409.4842)."""
    side = images.shape[1]
    out = np.empty((len(images), input_px, input_px, images.shape[3]), images.dtype)
    for i, (area, ratio, top, left) in enumerate(drawn.tolist()):
        share = settings.crop_scale + (1 - settings.crop_scale) * area
        stretch = math.exp((2 * ratio - 1) * math.log(settings.crop_ratio) / 2)  # of the width; the height shrinks
        height, width = (min(side, max(1, round(side * math.sqrt(share) * f))) for f in (1 / stretch, stretch))
        y, x = int(top * (side - height + 1)), int(left * (side - width + 1))
        out[i] = scale(images[i, y : y + height, x : x + width], input_px, input_px)
    return out


def _crop_and_mirror(images: np.ndarray, drawn: np.ndarray, settings: Augmentation, input_px: int) -> np.ndarray:
    """Pad and crop to the original size; mirror half of the images on average.

    Flips that alternate are Jordan's (2024, arXiv 2404.00498): every two epochs show an image and its mirror image.
    """
    padding, side = settings.crop_padding, images.shape[1]
    out = images.copy()
    if padding:
        sides = (padding, padding)
        padded = np.pad(images, ((0, 0), sides, sides, (0, 0)), BORDERS[settings.crop_border])
        for i, (top, left) in enumerate(drawn[:, :2].astype(int).tolist()):
            out[i] = padded[i, top : top + side, left : left + side]
    if settings.hflip:
        mirrored = drawn[:, 2] == 1
        out[mirrored] = out[mirrored, :, ::-1]
    return out


def _jitter_brightness_contrast(
    images: np.ndarray, drawn: np.ndarray, settings: Augmentation, input_px: int
) -> np.ndarray:
    out = np.empty_like(images)
    for i, (brightness, contrast) in enumerate(brightness_contrast(drawn, settings).tolist()):
        out[i] = photometric(images[i], brightness=brightness, contrast=contrast)
    return out


def brightness_contrast(drawn: np.ndarray, settings: Augmentation) -> np.ndarray:
    """Return the factors of brightness and contrast, float64 (B, 2), from two numbers in [0, 1) for each image."""
    return 1 + (2 * drawn - 1) * [settings.jitter_brightness, settings.jitter_contrast]


def _jitter_colour(images: np.ndarray, drawn: np.ndarray, settings: Augmentation, input_px: int) -> np.ndarray:
    out = images.copy()
    factors = saturations(drawn, settings)
    for i, (_, hue) in enumerate(2 * drawn - 1):  # float64: with Python's float the last bits would differ
        if settings.jitter_saturation:
            out[i] = saturate(out[i], factors[i])
        if settings.jitter_hue:
            out[i] = turn_hue(out[i], hue * settings.jitter_hue)
    return out


def saturations(drawn: np.ndarray, settings: Augmentation) -> np.ndarray:
    """Return the factors of saturation (B,) for the numbers of COLOUR."""
    return 1 + (2 * drawn[:, 0] - 1) * settings.jitter_saturation


def _apply_policy(images: np.ndarray, drawn: np.ndarray, settings: Augmentation, input_px: int) -> np.ndarray:
    """Change each image by the policy, with the stream of numbers that its one number stands for."""
    if not settings.applies_policy or not len(images):
        return images
    pairs = zip(images, drawn[:, 0].tolist(), strict=True)
    return np.stack([policies.changed(image, substream(number), settings) for image, number in pairs])


def _erase(images: np.ndarray, drawn: np.ndarray, settings: Augmentation, input_px: int) -> np.ndarray:
    out = images.copy()
    how: Any = {"scale": settings.erase_scale, "ratio": settings.erase_ratio, "value": settings.erase_value}
    for i, (chance, number) in enumerate(drawn.tolist()):
        if chance < settings.erase:
            out[i] = erase(images[i], substream(number), **how)
    return out


@dataclass(frozen=True)
class Operation:
    """A random change of images."""

    apply: Callable[[np.ndarray, np.ndarray, Augmentation, int], np.ndarray]
    """(images (B, H, W, C), random numbers (B, num_draws), settings, side of the net's input) -> new images."""
    switches: tuple[str, ...]
    """The settings that switch it on by differing from their defaults."""
    purpose: str
    """Names its own stream of random numbers, so a new operation does not change the numbers of the others."""
    num_draws: int
    """Random numbers per image."""
    bounds: Callable[[int], tuple[int, ...]] | None = None
    """crop_padding -> exclusive upper bounds of the random integers; without it, numbers are in [0, 1)."""


OPERATIONS = (
    Operation(_rotate, ("rotate_deg",), "rotation", 1),
    Operation(_resized_crop, ("crop_scale",), "resized crop", 4),
    Operation(
        _crop_and_mirror,
        ("crop_padding", "hflip"),
        CROP_AND_MIRROR,
        3,
        lambda padding: (2 * padding + 1, 2 * padding + 1, 2),
    ),
    Operation(_jitter_brightness_contrast, ("jitter_brightness", "jitter_contrast"), JITTER, 2),
    Operation(_jitter_colour, ("jitter_saturation", "jitter_hue"), COLOUR, 2),
    Operation(_apply_policy, ("policy",), "policy", 1),
    Operation(_erase, ("erase",), "erasing", 2),
)


@lru_cache(maxsize=4)
def _drawn(seed: int, epoch: int, count: int, padding: int, alternate_flips: bool) -> np.ndarray:
    columns = []
    for operation in OPERATIONS:
        columns.append(_numbers(operation, seed, epoch, count, padding))
        if alternate_flips and operation.apply is _crop_and_mirror:
            columns[-1][:, 2] = (_numbers(operation, seed, 0, count, padding)[:, 2] + epoch) % 2
    return np.hstack(columns)


def _numbers(operation: Operation, seed: int, epoch: int, count: int, padding: int) -> np.ndarray:
    random, shape = generator(seed, operation.purpose, epoch), (count, operation.num_draws)
    bounds = operation.bounds and operation.bounds(padding)
    return random.integers(0, bounds, shape) if bounds else random.random(shape)

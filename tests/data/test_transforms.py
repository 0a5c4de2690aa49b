import math

import numpy as np
import pytest

from kit.images import image_set
from touchstone.config.schema.data import Transform
from touchstone.data.transforms import apply, transform


def plain(pixels: np.ndarray, s: Transform) -> np.ndarray:
    """Transform one pixel at a time, in floating point: find where it comes from and interpolate there."""
    height, width, _ = pixels.shape
    out = np.zeros(pixels.shape)
    angle = math.radians(s.rotate_deg)
    for row in range(height):
        for column in range(width):
            x = column - (width - 1) / 2 - s.shift_x * width  # back from the shift, about the centre
            y = row - (height - 1) / 2 - s.shift_y * height
            x, y = x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
            x, y = x * s.zoom, y * s.zoom
            x = -x if s.hflip else x
            out[row, column] = bilinear(pixels, y + (height - 1) / 2, x + (width - 1) / 2)
    return np.clip(np.floor(out * s.brightness + 0.5), 0, 255)


def bilinear(pixels: np.ndarray, y: float, x: float) -> np.ndarray:
    height, width, _ = pixels.shape
    top, left = math.floor(y), math.floor(x)
    total = np.zeros(pixels.shape[2])
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        weight = (1 - abs(y - row)) * (1 - abs(x - column))
        total += weight * pixels[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
    return total


def smooth(height: int, width: int, channels: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([40 * c + 4 * x + 3 * y for c in range(channels)], -1).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "settings",
    [
        {"rotate_deg": 15.0},
        {"shift_x": 0.1, "shift_y": -0.2},
        {"zoom": 0.9},
        {"zoom": 1.3, "rotate_deg": -40.0},
        {"hflip": True, "rotate_deg": 25.0, "shift_x": -0.1, "shift_y": 0.1, "zoom": 0.95, "brightness": 1.1},
    ],
)
def test_each_operation_equals_the_plain_reference(settings: dict, channels: int) -> None:
    s = Transform(**settings)
    pixels = smooth(20, 24, channels)
    assert (
        np.abs(apply(pixels, s).astype(float) - plain(pixels, s)).max() <= 2
    )  # OpenCV's weights are multiples of 1/32 px


def test_directions() -> None:
    dot = np.zeros((21, 21, 1), np.uint8)
    dot[10, 16] = 255  # to the right of the centre
    where = lambda **s: np.unravel_index(apply(dot, Transform(**s)).argmax(), (21, 21))  # noqa: E731
    assert where(rotate_deg=90.0) == (4, 10)  # counter-clockwise: right goes up
    assert where(shift_x=2 / 21) == (10, 18)
    assert where(shift_y=2 / 21) == (12, 16)
    assert where(hflip=True) == (10, 4)
    assert where(zoom=0.75) == (10, 18)  # three quarters of the side are visible, so the dot moves outwards


def test_the_border_repeats_the_edge() -> None:
    pixels = np.tile(np.arange(10, 20, dtype=np.uint8)[None, :, None], (10, 1, 1))
    assert apply(pixels, Transform(shift_x=0.3))[0, :, 0].tolist() == [10, 10, 10, *range(10, 17)]


def test_identity_and_flip_are_exact_and_brightness_clips() -> None:
    pixels = image_set(["a"], side=9).images[0]
    assert np.array_equal(apply(pixels, Transform()), pixels)
    assert np.array_equal(apply(pixels, Transform(hflip=True)), pixels[:, ::-1])
    bright = apply(pixels, Transform(brightness=1.5)).astype(int)
    assert np.array_equal(bright, np.minimum(np.floor(pixels * 1.5 + 0.5), 255))


def test_an_added_image_knows_its_source_and_keeps_its_label() -> None:
    images = image_set(["a", "b", "a"])
    made = transform(images, name="tilt", settings=Transform(rotate_deg=10.0))
    assert made.table["source_id"].tolist() == images.table["id"].tolist()
    assert made.table["label"].tolist() == ["a", "b", "a"]
    assert set(made.table["origin"]) == {"tilt"}
    assert not set(made.table["id"]) & set(images.table["id"])


def test_padding_stays_zero() -> None:
    images = image_set(["a", "b"])
    images.table["height"], images.table["width"] = [8, 5], [6, 8]
    made = transform(images, name="m", settings=Transform(shift_x=0.2, brightness=3.0))
    first, second = made.images[np.array([0, 1])]
    assert not first[:, 6:].any()
    assert not second[5:].any()
    assert first[:, :6].any()

"""Levels of pixels: the one place that knows what white is for pixels of 8 bits and of 16.

Pixels are stored as uint8 or uint16, and white is the largest number of the type. Everything else counts in grey
levels, 0 to 255, at either depth: a pixel of 16 bits has the grey level value / 257. So a mean of 127.5 is middle grey
for both, and thresholds, noise and statistics in grey levels hold for both.
"""

from collections.abc import Sequence

import numpy as np

BITS = (8, 16)
WHITE = 255  # in grey levels
PER_LEVEL = 257  # values of 16 bits for a grey level: 65535 / 255
STRETCH = 1, 99  # percentiles of pictures of 16 bits that are shown black and white
SAMPLED_PX = 2**14  # pixels of an image, about, that percentiles are taken of
LUMA = (19595, 38470, 7471)  # the weights of red, green and blue in grey, ITU-R BT.601, of 2^16; as Pillow has them


def dtype_of(bits: int) -> np.dtype:
    """Return the type of stored pixels."""
    return np.dtype({8: np.uint8, 16: np.uint16}[bits])


def is_pixels(dtype: np.dtype) -> bool:
    """Return whether arrays of this type are pixels, and not features."""
    return dtype in (np.uint8, np.uint16)


def white(dtype: np.dtype) -> int:
    """Return the value of white, 255 or 65535."""
    return int(np.iinfo(dtype).max)


def per_level(dtype: np.dtype) -> int:
    """Return the number of values that make one grey level, 1 or 257."""
    return white(dtype) // WHITE


def rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Round values to pixels of a type, halves upwards, and clip them to black and white."""
    return np.clip(np.floor(values + 0.5), 0, white(dtype)).astype(dtype)


def from_unit(unit: np.ndarray, bits: int) -> np.ndarray:
    """Turn 0, black, to 1, white, into pixels; halves are rounded to even."""
    dtype = dtype_of(bits)
    return np.rint(np.clip(unit, 0.0, 1.0) * white(dtype)).astype(dtype)


def stretched(values: np.ndarray, bits: int) -> np.ndarray:
    """Scale values of any range from their minimum to their maximum; a constant image is black, and so are NaNs."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    if low == high:
        return np.zeros(values.shape, dtype_of(bits))
    return from_unit(np.nan_to_num(np.clip((values - low) / (high - low), 0.0, 1.0), nan=0.0), bits)


def clipped(values: np.ndarray) -> np.ndarray:
    """Clip whole numbers to pixels of 16 bits."""
    return np.clip(values, 0, white(np.dtype(np.uint16))).astype(np.uint16)


def of_depth(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Return uint8 or uint16 pixels with `bits`: times 257, or divided by 257 and rounded."""
    if pixels.dtype == dtype_of(bits):
        return pixels
    if bits == 16:
        return pixels.astype(np.uint16) * np.uint16(PER_LEVEL)
    return ((pixels.astype(np.uint32) + PER_LEVEL // 2) // PER_LEVEL).astype(np.uint8)


def prepared(pixels: np.ndarray, *, bits: int, white_value: int = 0) -> np.ndarray:
    """Return decoded pixels as they are stored: with `bits`, and those of 16 bits white from `white_value` on.

    white_value: 4095 for a camera of 12 bits; 0 leaves the values as they are.
    """
    if white_value and pixels.dtype == np.uint16:
        values = np.minimum(pixels, white_value).astype(np.int64)
        pixels = ((values * white(pixels.dtype) + white_value // 2) // white_value).astype(np.uint16)
    return of_depth(pixels, bits)


def luma(pixels: np.ndarray) -> np.ndarray:
    """Return the grey of colours (H, W, 3), of the same type, (H, W, 1); for uint8 the bytes of Pillow's "L"."""
    return ((pixels.astype(np.int64) @ np.array(LUMA) + 0x8000) >> 16).astype(pixels.dtype)[:, :, None]


Limits = tuple[np.ndarray, np.ndarray]
"""The values that a picture shows black and white, float64 (C,) each."""


def limits(images: Sequence[np.ndarray]) -> Limits | None:
    """Return the values between which `shown` stretches images (h, w, C) that are seen together.

    None for 8 bits, and for images of different channels or bits, each of which is stretched by itself. As many
    instruments fill 16 bits only in part, the limits are the 1st and the 99th percentile of all the images: for three
    channels, which are colours, one for all of them, else one for each.
    """
    kinds = {(image.dtype, image.shape[2]) for image in images}
    if len(kinds) != 1 or images[0].dtype == np.uint8:
        return None
    channels = images[0].shape[2]
    rows = [image.reshape(-1, channels)[:: max(1, image[..., 0].size // SAMPLED_PX)] for image in images]
    low, high = np.percentile(np.concatenate(rows), STRETCH, axis=None if channels == 3 else 0)
    return np.broadcast_to(low, channels), np.broadcast_to(high, channels)


def shown(pixels: np.ndarray, between: Limits | None = None) -> np.ndarray:
    """Return a picture for eyes, uint8 (h, w, 1) or (h, w, 3), of pixels (h, w, C).

    One channel is shown as grey, three as red, green and blue, two as red and green, and of more the first three. 8
    bits stay as they are. 16 bits are stretched `between` the limits of the images beside it, by default its own.
    """
    kept = pixels[..., :3]
    if kept.dtype != np.uint8:
        low, high = (each[:3] for each in between or limits([pixels]) or ())
        wide = np.broadcast_to(high > low, kept.shape)  # images of one value keep their own grey level
        stretched_out = (kept - low) * (WHITE / np.maximum(high - low, 1))
        kept = rounded(np.where(wide, stretched_out, kept / PER_LEVEL), np.dtype(np.uint8))
    return np.dstack([kept, np.zeros_like(kept[..., :1])]) if pixels.shape[2] == 2 else kept


def how_shown(channels: int, bits: int) -> str:
    """Return how `shown` turns images into pictures, in words; "" where pictures are the images themselves."""
    parts = []
    if channels == 2:
        parts.append("channel 1 as red and channel 2 as green")
    elif channels > 3:
        parts.append(f"channels 1, 2 and 3 of {channels} as red, green and blue")
    if bits != 8:
        each = ", each channel on its own" if channels not in (1, 3) else ""
        parts.append(f"values from the {STRETCH[0]}st to the {STRETCH[1]}th percentile of the images beside them{each}")
    return "; ".join(parts)

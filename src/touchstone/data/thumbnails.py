"""Thumbnails of 8x8 pixels, in which near copies are sought: area averages of an image, plain or mirrored."""

import numpy as np

from touchstone.data.lazy_images import release
from touchstone.data.levels import per_level
from touchstone.data.ops.resize import scale

SIDE = 8  # px
BLOCK = 2048  # images at a time


def thumbnails(images: np.ndarray, sizes: np.ndarray | None = None) -> np.ndarray:
    """Return the area averages of the images, of their type, (N, 8 * 8 * C).

    images: uint8 or uint16 (N, H, W, C), of valid `sizes` (N, 2).
    """
    small = np.zeros((len(images), SIDE * SIDE * images.shape[-1]), images.dtype)
    for i, image in enumerate(images):
        valid = image if sizes is None else image[: sizes[i, 0], : sizes[i, 1]]
        small[i] = scale(np.ascontiguousarray(valid), SIDE, SIDE).ravel()
        if i % BLOCK == 0:
            release(images)
    return small


def standardised(small: np.ndarray) -> np.ndarray:
    """Return thumbnails, uint8 or uint16 (N, D), as float32 with mean 0 and norm 1, or 0 for a single colour.

    Brightness and contrast do not count in them.
    """
    flat = small.astype(np.float32) / np.float32(per_level(small.dtype))
    flat -= flat.mean(1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(norm > 1, flat / np.maximum(norm, 1), 0)


def is_textured(small: np.ndarray) -> np.ndarray:
    """Return which thumbnails are not of a single colour, bool (N,): those that are not 0 when standardised."""
    blocks = (small[start : start + BLOCK] for start in range(0, len(small), BLOCK))
    return np.concatenate([np.zeros(0, bool), *(standardised(block).any(1) for block in blocks)])


def mirrored(small: np.ndarray) -> np.ndarray:
    """Return the thumbnails (N, D) of the mirrored images."""
    channels = small.shape[1] // SIDE**2
    return small.reshape(-1, SIDE, SIDE, channels)[:, :, ::-1].reshape(small.shape)

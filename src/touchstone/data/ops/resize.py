"""Resizes an image in one resampling: by OpenCV, area averages to shrink and linear interpolation to enlarge; or by a
filter of Pillow, which works in whole numbers, too.

Pixels are uint8 or uint16. OpenCV takes 1 or 3 channels together, others one by one: it averages no more than four.
"""

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

MODES = ("squash", "crop", "pad", "shortest_edge")
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
LONGEST = 2  # limit of the aspect ratio in shortest_edge, since a batch has the room of its largest image for all


def resize(pixels: np.ndarray, *, size_px: int, mode: str) -> np.ndarray:
    """Resize pixels (h, w, C) to (H, W, C), where H = W = size_px unless the mode is shortest_edge.

    squash loses the aspect ratio. crop takes the largest centred square. pad shows the whole image, centred on black.
    shortest_edge makes the shorter side size_px and keeps the aspect ratio, but cuts a side longer than twice the
    shorter one to its middle. Raises ValueError on any other mode.
    """
    height, width = pixels.shape[:2]
    if mode == "squash":
        return scale(pixels, size_px, size_px)
    if mode == "crop":
        return scale(_middle(pixels, min(height, width)), size_px, size_px)
    if mode == "shortest_edge":
        shown = _middle(pixels, 2 * LONGEST * min(height, width))  # else a thin line of pixels would become huge
        longer = round(size_px * max(shown.shape[:2]) / min(height, width))
        sides = (size_px, longer) if height <= width else (longer, size_px)
        return _middle(scale(shown, *sides), LONGEST * size_px)
    if mode == "pad":
        return _pad(pixels, size_px)
    raise ValueError(f"mode: got {mode!r}, expected one of {', '.join(MODES)}")


def scale(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale pixels (h, w, C) to (height, width, C)."""
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return by_channels(lambda image: cv2.resize(image, (width, height), interpolation=how), pixels)


def by_channels(change: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray) -> np.ndarray:
    """Apply a function of OpenCV, which drops a channel axis of 1, to pixels (h, w, C); return (H, W, C)."""
    if pixels.shape[2] in (1, 3):
        out = change(pixels)
        return out.reshape(*out.shape[:2], pixels.shape[2])
    return np.dstack([change(np.ascontiguousarray(pixels[..., c])) for c in range(pixels.shape[2])])


def filtered(pixels: np.ndarray, height: int, width: int, *, interpolation: str) -> np.ndarray:
    """Scale uint8 (h, w, C) to uint8 (height, width, C) as `scale` does (area) or by a filter of FILTERS.

    Pillow's filters widen as they shrink an image, as those do with which most pretrained nets were trained.
    """
    if interpolation == "area":
        return scale(pixels, height, width)
    if pixels.shape[:2] == (height, width):
        return pixels
    planes = (Image.fromarray(np.ascontiguousarray(pixels[:, :, c])) for c in range(pixels.shape[2]))
    return np.stack([np.asarray(plane.resize((width, height), FILTERS[interpolation])) for plane in planes], axis=2)


def _middle(pixels: np.ndarray, longest: int) -> np.ndarray:
    """Return the centre of the image, each side cut to at most `longest` px."""
    height, width = (min(side, longest) for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _pad(pixels: np.ndarray, size_px: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    factor = size_px / max(height, width)
    inner = scale(pixels, max(1, round(height * factor)), max(1, round(width * factor)))
    out = np.zeros((size_px, size_px, pixels.shape[2]), pixels.dtype)
    top, left = (size_px - inner.shape[0]) // 2, (size_px - inner.shape[1]) // 2
    out[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return out

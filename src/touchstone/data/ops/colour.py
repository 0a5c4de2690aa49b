"""Brightness, contrast, saturation, sharpness and hue of an image, uint8 or uint16; results are rounded and clipped.

Saturation and hue need three channels, red, green and blue; greys stay as they are.
"""

import cv2
import numpy as np

from touchstone.data.levels import rounded, white

LUMA = np.array((0.299, 0.587, 0.114), np.float32)  # the weights of red, green and blue in grey, ITU-R BT.601


def photometric(pixels: np.ndarray, *, brightness: float = 1.0, contrast: float = 1.0) -> np.ndarray:
    """Multiply distances from the image's mean by `contrast`, then levels by `brightness`; (H, W, C)."""
    levels = np.arange(white(pixels.dtype) + 1)
    mean = pixels.mean() if contrast != 1 else 0.0
    return rounded(((levels - mean) * contrast + mean) * brightness, pixels.dtype)[pixels]


def saturate(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Multiply distances from each pixel's grey by `factor`; (H, W, 3)."""
    red, green, blue = (channel * weight for channel, weight in zip(np.moveaxis(pixels, -1, 0), LUMA, strict=True))
    grey = (red + green + blue)[..., None]  # (H, W, 1), in this order, as `resident` has it on a device
    return rounded(grey + (pixels - grey) * np.float32(factor), pixels.dtype)


def sharpen(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Multiply distances from the smoothed image by `factor`: 0 smooths, above 1 sharpens; (H, W, C).

    Each inner pixel is smoothed with its neighbours, at five times their weight; the pixels of the border stay.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < 3:
        return pixels
    wide = pixels.astype(np.int32)
    rows = wide[:-2] + wide[1:-1] + wide[2:]  # (H - 2, W, C)
    total = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] + 4 * wide[1:-1, 1:-1]
    smooth = (2 * total + 13) // 26  # total / 13, rounded
    out = pixels.copy()
    out[1:-1, 1:-1] = rounded(smooth + (wide[1:-1, 1:-1] - smooth) * factor, pixels.dtype)
    return out


def turn_hue(pixels: np.ndarray, turn: float) -> np.ndarray:
    """Turn the hue of HSV by the share `turn` of the circle, keeping saturation and value; (H, W, 3)."""
    most = white(pixels.dtype)
    hsv = cv2.cvtColor(pixels.astype(np.float32) / most, cv2.COLOR_RGB2HSV)  # hue in degrees
    hsv[..., 0] = (hsv[..., 0] + 360 * turn) % 360
    return rounded(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * most, pixels.dtype)

"""Brightness, contrast, saturation, sharpness and hue of an image. Results are rounded and clipped to 0..255.

Saturation and hue need three channels, red, green and blue; greys stay as they are.
"""

import cv2
import numpy as np

LUMA = (0.299, 0.587, 0.114)  # the weights of red, green and blue in grey, ITU-R BT.601


def photometric(pixels: np.ndarray, *, brightness: float = 1.0, contrast: float = 1.0) -> np.ndarray:
    """Multiply distances from the image's mean by `contrast`, then levels by `brightness`; uint8 (H, W, C)."""
    levels = np.arange(256)
    mean = pixels.mean() if contrast != 1 else 0.0
    return _rounded(((levels - mean) * contrast + mean) * brightness)[pixels]


def saturate(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Multiply distances from each pixel's grey by `factor`; uint8 (H, W, 3)."""
    grey = (pixels @ np.array(LUMA, np.float32))[..., None]  # (H, W, 1)
    return _rounded(grey + (pixels - grey) * np.float32(factor))


def sharpen(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Multiply distances from the smoothed image by `factor`: 0 smooths, above 1 sharpens; uint8 (H, W, C).

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
    out[1:-1, 1:-1] = _rounded(smooth + (wide[1:-1, 1:-1] - smooth) * factor)
    return out


def turn_hue(pixels: np.ndarray, turn: float) -> np.ndarray:
    """Turn the hue of HSV by the share `turn` of the circle, keeping saturation and value; uint8 (H, W, 3)."""
    hsv = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)  # hue in degrees
    hsv[..., 0] = (hsv[..., 0] + 360 * turn) % 360
    return _rounded(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255)


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)

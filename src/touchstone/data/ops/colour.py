"""Changing the colours of an image: brightness, contrast, saturation, hue. Every result is rounded and clipped.

Saturation and hue are of three channels, red, green and blue; greys stay as they are.
"""

import cv2
import numpy as np

LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in grey, ITU-R BT.601


def photometric(pixels: np.ndarray, *, brightness: float = 1.0, contrast: float = 1.0) -> np.ndarray:
    """uint8 (H, W, C) -> uint8 (H, W, C): distances from the mean times `contrast`, then levels times `brightness`."""
    levels = np.arange(256)
    mean = pixels.mean() if contrast != 1 else 0.0
    return _rounded(((levels - mean) * contrast + mean) * brightness)[pixels]


def saturate(pixels: np.ndarray, factor: float) -> np.ndarray:
    """uint8 (H, W, 3) -> uint8 (H, W, 3): distances from the pixel's grey times `factor`."""
    grey = (pixels @ np.array(LUMA, np.float32))[..., None]  # (H, W, 1)
    return _rounded(grey + (pixels - grey) * np.float32(factor))


def turn_hue(pixels: np.ndarray, turn: float) -> np.ndarray:
    """uint8 (H, W, 3) -> uint8 (H, W, 3): the hue moves by `turn` of the circle, saturation and value of HSV stay."""
    hsv = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)  # hue in degrees
    hsv[..., 0] = (hsv[..., 0] + 360 * turn) % 360
    return _rounded(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255)


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)

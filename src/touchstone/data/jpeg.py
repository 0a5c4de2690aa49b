"""Decodes JPEG images by torchvision, which takes less time than Pillow and gives the same pixels.

Both call libjpeg-turbo with the same settings; torchvision writes into one array, where Pillow's pixels are copied
twice. That damaged files, too, give the same pixels or are refused by both is tested. Figures: docs/speed.md.
libjpeg-turbo writes a line to stderr where data are damaged and yet readable.

Importing torchvision takes seconds and 350 MiB. A process that has not done so decodes its first images by Pillow, and
imports torchvision only once there have been so many that it pays.
"""

import sys

import numpy as np
from PIL import Image

PAYS = 10_000_000_000  # pixels: 10,000 images of 1,000 px

_pixels_seen = 0


def is_plain(image: Image.Image) -> bool:
    """Return whether an opened image is a JPEG of grey or of red, green and blue, whose pixels need no conversion."""
    return image.format == "JPEG" and image.mode in ("L", "RGB")


def pays(image: Image.Image) -> bool:
    """Return whether torchvision is to decode this image: it is imported, or as many were seen that it should be."""
    global _pixels_seen
    _pixels_seen += image.width * image.height  # threads may lose some of it, which changes no result
    return "torchvision.io" in sys.modules or _pixels_seen > PAYS


def pixels(content: bytes) -> np.ndarray | None:
    """Return uint8 (H, W, 1 or 3), not turned by EXIF, or None where Pillow is to say what is wrong with the file."""
    import torch
    from torchvision.io import decode_jpeg

    try:
        image = decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8))
    except RuntimeError:
        return None
    return image.permute(1, 2, 0).numpy()  # a view: torchvision keeps the channels of a pixel together


def turned(image: np.ndarray, turn: Image.Transpose) -> np.ndarray:
    """Turn or mirror (H, W, 1 or 3) as Pillow does."""
    grey = image.shape[2] == 1
    result = np.asarray(Image.fromarray(image[:, :, 0] if grey else image).transpose(turn))
    return result[:, :, None] if grey else result

"""Random erasing: a rectangle of an image is filled. Zhong et al. 2017, arXiv 1708.04896."""

import math

import numpy as np

ATTEMPTS = 10  # to draw a rectangle that lies in the image; after that, nothing is erased


def erase(
    image: np.ndarray,
    random: np.random.Generator,
    *,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    value: str | int,
) -> np.ndarray:
    """Return a copy of an image, uint8 (H, W, C), with a rectangle at a random place filled.

    scale: smallest and largest share of the image's area. ratio: smallest and largest height divided by the width, of
    which the logarithm is drawn. value: random fills with noise, mean with the image's own mean of each channel, and a
    number with that grey level.
    """
    out = np.array(image)
    height, width, channels = image.shape
    for share, aspect in random.random((ATTEMPTS, 2)).tolist():
        area = height * width * (scale[0] + (scale[1] - scale[0]) * share)
        stretch = math.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * aspect)
        rows, columns = round(math.sqrt(area * stretch)), round(math.sqrt(area / stretch))
        if 0 < rows < height and 0 < columns < width:
            top, left = int(random.integers(height - rows + 1)), int(random.integers(width - columns + 1))
            filled = out[top : top + rows, left : left + columns]
            if value == "random":
                filled[:] = random.integers(0, 256, (rows, columns, channels), np.uint8)
            else:
                filled[:] = np.floor(image.mean((0, 1)) + 0.5).astype(np.uint8) if value == "mean" else value
            return out
    return out

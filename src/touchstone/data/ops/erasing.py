"""Random erasing: a rectangle of an image is filled. Zhong et al. 2017, arXiv 1708.04896."""

import math

import numpy as np

from touchstone.data.levels import per_level, rounded, white

ATTEMPTS = 10  # to draw a rectangle that lies in the image; after that, nothing is erased


def erase(
    image: np.ndarray,
    random: np.random.Generator,
    *,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    value: str | int,
) -> np.ndarray:
    """Return a copy of an image (H, W, C), uint8 or uint16, with a rectangle at a random place filled.

    scale: smallest and largest share of the image's area. ratio: smallest and largest height divided by the width, of
    which the logarithm is drawn. value: random fills with noise, mean with the image's own mean of each channel, and a
    number with that grey level.
    """
    out = np.array(image)
    height, width = image.shape[:2]
    for share, aspect in random.random((ATTEMPTS, 2)).tolist():
        area = height * width * (scale[0] + (scale[1] - scale[0]) * share)
        stretch = math.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * aspect)
        rows, columns = round(math.sqrt(area * stretch)), round(math.sqrt(area / stretch))
        if 0 < rows < height and 0 < columns < width:
            top, left = int(random.integers(height - rows + 1)), int(random.integers(width - columns + 1))
            filled = out[top : top + rows, left : left + columns]
            if value == "random":
                filled[:] = random.integers(0, white(image.dtype) + 1, filled.shape, image.dtype)
            elif value == "mean":
                filled[:] = rounded(image.mean((0, 1)), image.dtype)
            else:
                filled[:] = int(value) * per_level(image.dtype)
            return out
    return out

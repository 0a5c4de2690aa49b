"""Several crops of an image: five for training, of which the highest logit of each class counts, or any number at test
time, of which the mean probability does.

Batches of V crops per image are pixels (B, V, P, P, C), or float32 features (B, V, D).
"""

import numpy as np
import torch

FIVE, NINE = 5, 9


def five(image: np.ndarray, side: int) -> np.ndarray:
    """Cut the four corners and the centre from pixels (h, w, C): (5, side, side, C).

    Raises ValueError where the image is smaller than a crop.
    """
    height, width = image.shape[:2]
    if min(height, width) < side:
        raise ValueError(f"image: got {width} x {height} px, expected at least {side} on each side")
    bottom, right = height - side, width - side
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    return np.stack([image[top : top + side, left : left + side] for top, left in corners])


def windows(image: np.ndarray, side: int, number: int) -> list[np.ndarray]:
    """Cut 1 (the centre), 5 (the corners and the centre) or 9 (3 rows of 3) squares from uint8 (h, w, C).

    They lie as far apart as the image allows. Raises ValueError where the image is smaller than a square.
    """
    if number == FIVE:
        return list(five(image, side))
    height, width = image.shape[:2]
    if min(height, width) < side:
        raise ValueError(f"image: got {width} x {height} px, expected at least {side} on each side")
    bottom, right = height - side, width - side
    places = [(bottom // 2, right // 2)]
    if number == NINE:
        places = [(top, left) for top in (0, bottom // 2, bottom) for left in (0, right // 2, right)]
    return [image[top : top + side, left : left + side] for top, left in places]


def max_over_crops(logits: torch.Tensor, num_crops: int) -> torch.Tensor:
    """Return the highest logit of each class over an image's crops: (B * num_crops, K) -> (B, K)."""
    return logits.unflatten(0, (-1, num_crops)).amax(1) if num_crops > 1 else logits


def count(batch: torch.Tensor) -> int:
    """Return the number of crops per image of a batch: pixels (B, [V,] P, P, C) or features (B, [V,] D)."""
    return batch.shape[1] if batch.ndim in (3, 5) else 1


def flat(batch: torch.Tensor) -> torch.Tensor:
    """Return the batch with crops as separate images, (B * V, ...)."""
    return batch.flatten(0, 1) if batch.ndim in (3, 5) else batch

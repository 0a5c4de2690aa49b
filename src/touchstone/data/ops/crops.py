"""Five crops of an image; for each class, the crop with the highest logit counts.

Batches of crops are pixels (B, 5, P, P, C), or float32 features (B, 5, D).
"""

import numpy as np
import torch

FIVE = 5


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


def max_over_crops(logits: torch.Tensor, num_crops: int) -> torch.Tensor:
    """Return the highest logit of each class over an image's crops: (B * num_crops, K) -> (B, K)."""
    return logits.unflatten(0, (-1, num_crops)).amax(1) if num_crops > 1 else logits


def count(batch: torch.Tensor) -> int:
    """Return the number of crops per image of a batch: pixels (B, [5,] P, P, C) or features (B, [5,] D)."""
    return batch.shape[1] if batch.ndim in (3, 5) else 1


def flat(batch: torch.Tensor) -> torch.Tensor:
    """Return the batch with crops as separate images, (B * 5, ...)."""
    return batch.flatten(0, 1) if batch.ndim in (3, 5) else batch

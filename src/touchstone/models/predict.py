"""Predictions of a net: batches of images, logits, test-time augmentation, probabilities."""

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch.nn import functional as F

from touchstone.data.batches import View, sent
from touchstone.data.imageset import ImageSet, valid_sizes
from touchstone.data.ops import crops

BATCH = 256  # fixed: kernels, and with them the last bits, differ by batch size
COPIED = 64  # batches whose logits come from a device at once


def logits(forward: torch.nn.Module, batches: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return float32 (N, classes) on the CPU, computed in evaluation mode; the module's own mode is restored.

    forward: a batch -> logits (B, classes).
    """
    device = next(forward.parameters()).device
    training = forward.training
    forward.eval()
    out: list[torch.Tensor] = []
    there: list[torch.Tensor] = []  # on the device still, as each copy from it waits for all that it has to compute
    with torch.no_grad():
        for batch in batches:
            there.append(forward(sent(batch, device)).float())
            if len(there) == COPIED:
                out.append(torch.cat(there).cpu())
                there.clear()
    forward.train(training)
    return torch.cat([*out, *([torch.cat(there).cpu()] if there else [])])


def forward_tta(
    net: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    *,
    num_crops: int,
    mean: bool,
    flips: bool,
    shift: int,
    multi_label: bool,
) -> torch.Tensor:
    """Predict with test-time augmentation: (B * num_crops, C, H, W) -> logits (B, K).

    mean: as `over_crops` takes it. `flips` takes the mean with the mirror image. With a shift in px, half of the
    mean is of the image moved up and left, and down and right, over a reflected border (Jordan 2024, arXiv 2404.00498).
    """

    def predicted(x: torch.Tensor) -> torch.Tensor:
        own = over_crops(net(x), num_crops, mean=mean, multi_label=multi_label)
        if not flips:
            return own
        mirrored = over_crops(net(x.flip(3)), num_crops, mean=mean, multi_label=multi_label)
        return mean_of(own, mirrored, multi_label=multi_label)

    own = predicted(x)
    if not shift:
        return own
    height, width = x.shape[2:]
    wide = F.pad(x, (shift, shift, shift, shift), mode="reflect")
    moved = wide[:, :, 2 * shift :, 2 * shift :], wide[:, :, :height, :width]
    both = mean_of(*(predicted(view) for view in moved), multi_label=multi_label)
    return mean_of(own, both, multi_label=multi_label)


def over_crops(logits: torch.Tensor, num_crops: int, *, mean: bool, multi_label: bool) -> torch.Tensor:
    """Combine an image's crops: (B * num_crops, K) -> (B, K).

    mean: return the logits of the mean of their probabilities, and otherwise the highest logit of each class.
    """
    if num_crops == 1 or not mean:
        return crops.max_over_crops(logits, num_crops)
    if multi_label:
        present, absent = (F.logsigmoid(sign * logits).unflatten(0, (-1, num_crops)).logsumexp(1) for sign in (1, -1))
        return present - absent
    return F.log_softmax(logits, 1).unflatten(0, (-1, num_crops)).logsumexp(1) - math.log(num_crops)


def mean_of(one: torch.Tensor, other: torch.Tensor, *, multi_label: bool) -> torch.Tensor:
    """Return the logits of the mean of two predictions' probabilities; all are (B, K)."""
    if multi_label:
        present, absent = (
            torch.logsumexp(torch.stack([F.logsigmoid(sign * one), F.logsigmoid(sign * other)]), 0) for sign in (1, -1)
        )
        return present - absent
    both = torch.stack([F.log_softmax(one, 1), F.log_softmax(other, 1)])
    return torch.logsumexp(both, 0) - math.log(2)


def probabilities(
    forward: torch.nn.Module, images: ImageSet, *, view: View, num_classes: int, multi_label: bool = False
) -> np.ndarray:
    """Return probabilities (N, classes), in table order. forward: a batch -> logits (B, classes).

    With one class per image they are float32 and rows sum to 1; with several, float64, each class on its own.
    """
    if not len(images):
        return np.zeros((0, num_classes), np.float64 if multi_label else np.float32)
    return of_logits(logits(forward, batches(images, view)), multi_label=multi_label)


def of_logits(logits: torch.Tensor, *, multi_label: bool) -> np.ndarray:
    """Turn logits (N, classes) into probabilities: float32, or float64, which keeps near-certain labels apart."""
    return (torch.sigmoid(logits.double()) if multi_label else torch.softmax(logits, 1)).cpu().numpy()


def batches(images: ImageSet, view: View) -> Iterator[torch.Tensor]:
    """Yield pixels (B, S, S, C), or (B, V, S, S, C) with several crops, in order."""
    return blocks(images.images, valid_sizes(images.table), view)


def blocks(pixels: np.ndarray, sizes: np.ndarray | None, view: View) -> Iterator[torch.Tensor]:
    """Yield batches of pixels (N, H, W, C) as `view` shows them, in order. sizes: valid sizes (N, 2), or None."""
    size = batch_size(view)
    for start in range(0, len(pixels), size):
        rows = slice(start, start + size)
        yield view.seen(np.asarray(pixels[rows]), None if sizes is None else sizes[rows])


def batch_size(view: View) -> int:
    """Return the number of images predicted together, fewer with several crops to save memory."""
    return max(1, BATCH // view.num_crops)

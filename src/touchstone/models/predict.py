"""Weights x ImageSet -> Probs: float32 (seeds, N, classes), rows in table order."""

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch.nn import functional as F

from touchstone.data.batches import View
from touchstone.data.imageset import ImageSet, valid_sizes
from touchstone.data.ops import crops
from touchstone.errors import TouchstoneError

BATCH = 256  # fixed: kernels, and so the last bits, differ by batch size


def logits(forward: torch.nn.Module, batches: Iterable[torch.Tensor]) -> torch.Tensor:
    """float32 (N, classes) on the CPU, in evaluation mode; the module's mode is put back.

    forward: a batch -> logits (B, classes).
    """
    device = next(forward.parameters()).device
    training = forward.training
    forward.eval()
    with torch.no_grad():
        out = [forward(batch.to(device)).float().cpu() for batch in batches]
    forward.train(training)
    return torch.cat(out)


def with_flips(judge: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, *, multi_label: bool) -> torch.Tensor:
    """(B, C, H, W) -> (B, K): `mean_of` the logits of each image and of its mirror image."""
    return mean_of(judge(x), judge(x.flip(3)), multi_label=multi_label)


def answers(net: torch.nn.Module, x: torch.Tensor, *, num_crops: int, flips: bool, multi_label: bool) -> torch.Tensor:
    """(B * num_crops, C, H, W) -> logits (B, K): of each class the highest over an image's crops; with `flips` of the
    mean over mirror images."""

    def judge(x: torch.Tensor) -> torch.Tensor:
        return crops.most(net(x), num_crops)

    return with_flips(judge, x, multi_label=multi_label) if flips else judge(x)


def mean_of(one: torch.Tensor, other: torch.Tensor, *, multi_label: bool) -> torch.Tensor:
    """Logits (B, K) twice -> the logits of the mean of their probabilities."""
    if multi_label:
        there, absent = (
            torch.logsumexp(torch.stack([F.logsigmoid(sign * one), F.logsigmoid(sign * other)]), 0) for sign in (1, -1)
        )
        return there - absent
    both = torch.stack([F.log_softmax(one, 1), F.log_softmax(other, 1)])
    return torch.logsumexp(both, 0) - math.log(2)


def probabilities(
    forward: torch.nn.Module, images: ImageSet, *, view: View, num_classes: int, multi_label: bool = False
) -> np.ndarray:
    """(N, classes); (0, classes) for no images. forward: a batch -> logits (B, classes).

    float32, rows sum to 1; with several labels an image float64, each class has a probability of its own.
    """
    if not len(images):
        return np.zeros((0, num_classes), np.float64 if multi_label else np.float32)
    return of_logits(logits(forward, batches(images, view)), multi_label=multi_label)


def of_logits(found: torch.Tensor, *, multi_label: bool) -> np.ndarray:
    """Logits (N, classes) -> probabilities (N, classes): float32, or float64, in which sure ones are still apart."""
    return (torch.sigmoid(found.double()) if multi_label else torch.softmax(found, 1)).cpu().numpy()


def batches(images: ImageSet, view: View) -> Iterator[torch.Tensor]:
    """uint8 (B, S, S, C), or (B, 5, S, S, C) with five crops, in order."""
    return blocks(images.images, valid_sizes(images.table), view)


def blocks(pixels: np.ndarray, sizes: np.ndarray | None, view: View) -> Iterator[torch.Tensor]:
    """uint8 (N, H, W, C), valid sizes (N, 2) or None -> what `view` shows of them, batch by batch, in order."""
    size = batch_size(view)
    for start in range(0, len(pixels), size):
        rows = slice(start, start + size)
        yield view.seen(np.asarray(pixels[rows]), None if sizes is None else sizes[rows])


def batch_size(view: View) -> int:
    """Images that are predicted together: with five crops fewer, so that no more memory is taken."""
    return BATCH // crops.FIVE if view.crop_px else BATCH


def device(accelerator: str, *, count: int = 1) -> str:
    """torch's name of the device that `machine.accelerator` asks for: auto takes a GPU where there is one.

    Raises TouchstoneError where there is none, or where there are fewer than `count` (of CPU processes there are any).
    """
    found = _device(accelerator)
    there = {"cuda": torch.cuda.device_count(), "mps": 1}.get(found, count)
    if there < count:
        raise TouchstoneError(f"machine.devices: got {count}, this machine has {there} ({found}); lower it")
    return found


def _device(accelerator: str) -> str:
    if accelerator in ("auto", "gpu") and torch.cuda.is_available():
        return "cuda"
    if accelerator in ("auto", "mps") and torch.backends.mps.is_available():
        return "mps"
    if accelerator in ("auto", "cpu"):
        return "cpu"
    raise TouchstoneError(f"machine.accelerator: {accelerator} is not there on this machine; set auto or cpu")

"""Weights x ImageSet -> Probs: float32 (seeds, N, classes), rows in table order."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch.nn import functional as F

from touchstone.errors import TouchstoneError
from touchstone.imageset import ImageSet, valid_sizes
from touchstone.loaders import View

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


def with_flips(net: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) -> (B, K): the logarithm of the mean of the probabilities of each image and its mirror image."""
    return mean_of(net(x), net(x.flip(3)))


def mean_of(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Logits (B, K) twice -> the logarithm of the mean of their probabilities, which are logits again."""
    both = torch.stack([F.log_softmax(one, 1), F.log_softmax(other, 1)])
    return torch.logsumexp(both, 0) - math.log(2)


def probabilities(forward: torch.nn.Module, images: ImageSet, *, view: View, num_classes: int) -> np.ndarray:
    """float32 (N, classes), rows sum to 1; (0, classes) for no images. forward: uint8 (B, S, S, C) -> logits."""
    if not len(images):
        return np.zeros((0, num_classes), np.float32)
    return torch.softmax(logits(forward, batches(images, view)), 1).numpy()


def batches(images: ImageSet, view: View) -> Iterator[torch.Tensor]:
    """uint8 (B, S, S, C), in order."""
    return blocks(images.images, valid_sizes(images.table), view)


def blocks(pixels: np.ndarray, sizes: np.ndarray | None, view: View) -> Iterator[torch.Tensor]:
    """uint8 (N, H, W, C), valid sizes (N, 2) or None -> uint8 (B, S, S, C), in order."""
    for start in range(0, len(pixels), BATCH):
        rows = slice(start, start + BATCH)
        squares = view.squares(np.asarray(pixels[rows]), None if sizes is None else sizes[rows])
        yield view.resized(squares)


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

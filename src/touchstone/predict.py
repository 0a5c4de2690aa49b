"""Weights x ImageSet -> Probs: float32 (seeds, N, classes), rows in table order."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from touchstone.errors import TouchstoneError
from touchstone.imageset import ImageSet
from touchstone.loaders import View, valid_sizes

BATCH = 256  # fixed: kernels, and so the last bits, differ by batch size


def logits(forward: torch.nn.Module, images: ImageSet, *, view: View) -> torch.Tensor:
    """float32 (N, classes) on the CPU, in evaluation mode; the module's mode is put back.

    forward: uint8 (B, S, S, C) -> logits (B, classes).
    """
    device = next(forward.parameters()).device
    training = forward.training
    forward.eval()
    with torch.no_grad():
        out = [forward(pixels.to(device)).float().cpu() for pixels in batches(images, view)]
    forward.train(training)
    return torch.cat(out)


def probabilities(
    forward: torch.nn.Module,
    images: ImageSet,
    *,
    view: View,
    num_classes: int,
    progress: Callable[[int], object] | None = None,
) -> np.ndarray:
    """float32 (N, classes), rows sum to 1; (0, classes) for no images."""
    if not len(images):
        return np.zeros((0, num_classes), np.float32)
    return torch.softmax(logits(forward, images, view=view), 1).numpy()


def batches(images: ImageSet, view: View) -> Iterator[torch.Tensor]:
    """uint8 (B, S, S, C), in order."""
    sizes = valid_sizes(images.table)
    for start in range(0, len(images), BATCH):
        rows = slice(start, start + BATCH)
        squares = view.squares(np.asarray(images.images[rows]), None if sizes is None else sizes[rows])
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

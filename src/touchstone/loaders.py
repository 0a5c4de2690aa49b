"""ImageSet -> batches. The one place where uint8 becomes float.

A run is one stream of batches. Position p of the stream is image `order(epoch)[p % N]` of epoch `p // N`, and what
online augmentation draws for it is a function of (seed, epoch, image): the stream can start anywhere, and loader
workers change nothing.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from touchstone.arms import TrainingSet
from touchstone.resize import scale
from touchstone.seeds import generator


@dataclass(frozen=True)
class View:
    """How stored images become the net's input, before normalisation.

    size_px: the side of a square image in the store's pixels. input_px: the side that the net takes.
    """

    size_px: int
    input_px: int

    def squares(self, pixels: np.ndarray, sizes: np.ndarray | None) -> np.ndarray:
        """uint8 (B, H, W, C), valid sizes (B, 2) or None -> uint8 (B, size_px, size_px, C), cut from the centre."""
        if sizes is None:
            return pixels
        out = np.empty((len(pixels), self.size_px, self.size_px, pixels.shape[3]), np.uint8)
        for i, (height, width) in enumerate(sizes):
            top, left = (height - self.size_px) // 2, (width - self.size_px) // 2
            out[i] = pixels[i, top : top + self.size_px, left : left + self.size_px]
        return out

    def resized(self, squares: np.ndarray) -> torch.Tensor:
        """uint8 (B, size_px, size_px, C) -> uint8 (B, input_px, input_px, C)."""
        if self.size_px != self.input_px:
            squares = np.stack([scale(image, self.input_px, self.input_px) for image in squares])
        return torch.from_numpy(np.require(squares, requirements=["C", "W"]))  # a copy only of mapped files


def valid_sizes(table: pd.DataFrame) -> np.ndarray | None:
    """int64 (N, 2) where the storage is padded, otherwise None."""
    return table[["height", "width"]].to_numpy(np.int64) if "height" in table else None


def to_float(pixels: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """uint8 (B, H, W, C) -> normalised float32 (B, C, H, W), channels_last. mean, std: (C, 1, 1), in grey levels."""
    return pixels.permute(0, 3, 1, 2).float().sub_(mean).div_(std)  # the permuted view is channels_last already


def statistics(data: TrainingSet, *, block: int = 4096) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over all stored pixels, in grey levels, exact in integers."""
    total = squares = np.zeros(data.parts[0].shape[3], np.int64)  # (C,)
    count = 0
    for start in range(0, len(data), block):
        pixels = data.gather(np.arange(start, min(start + block, len(data))))
        levels = np.stack([np.bincount(pixels[..., c].ravel(), minlength=256) for c in range(pixels.shape[-1])])
        total = total + levels @ np.arange(256)
        squares = squares + levels @ np.arange(256) ** 2
        count += pixels[..., 0].size
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1.0))  # a constant image does not divide by zero
    return [round(float(m), 4) for m in mean], [round(float(s), 4) for s in std]


class Batches(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The batches `start` .. `num_steps` - 1 of the stream: (uint8 (B, S, S, C), int64 (B,)) each, B constant."""

    def __init__(
        self,
        data: TrainingSet,
        labels: np.ndarray,
        *,
        view: View,
        batch_size: int,
        num_steps: int,
        start: int,
        seed: int,
        crop_padding: int,
        hflip: bool,
    ) -> None:
        self.data, self.labels, self.view = data, labels, view
        self.batch_size, self.num_steps, self.start = batch_size, num_steps, start
        self.seed, self.crop_padding, self.hflip = seed, crop_padding, hflip
        self.sizes = valid_sizes(data.table)

    def __len__(self) -> int:
        return self.num_steps - self.start

    def __getitem__(self, item: int) -> tuple[torch.Tensor, torch.Tensor]:
        first = (self.start + item) * self.batch_size
        position = np.arange(first, first + self.batch_size)
        epoch, place = np.divmod(position, len(self.data))
        index = np.concatenate([order(self.seed, int(e), len(self.data))[place[epoch == e]] for e in np.unique(epoch)])
        pixels = self.data.gather(index)
        pixels = self.view.squares(pixels, None if self.sizes is None else self.sizes[index])
        if self.crop_padding or self.hflip:
            pixels = self._augment(pixels, epoch, index)
        return self.view.resized(pixels), torch.from_numpy(self.labels[index])

    def _augment(self, pixels: np.ndarray, epoch: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Random crop of the zero-padded image, then a mirror image with probability 1/2; uint8 (B, S, S, C)."""
        p, side = self.crop_padding, pixels.shape[1]
        padded = np.pad(pixels, ((0, 0), (p, p), (p, p), (0, 0)))
        out = np.empty_like(pixels)
        for i, (e, row) in enumerate(zip(epoch, index, strict=True)):
            top, left, flip = draws(self.seed, int(e), len(self.data), p)[row]
            crop = padded[i, top : top + side, left : left + side]
            out[i] = crop[:, ::-1] if self.hflip and flip else crop
        return out


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of `count` images in an epoch, int64 (count,)."""
    return generator(seed, "order", epoch).permutation(count)


@lru_cache(maxsize=4)
def draws(seed: int, epoch: int, count: int, padding: int) -> np.ndarray:
    """(top, left, flip) of each image in an epoch, int64 (count, 3)."""
    return generator(seed, "augment", epoch).integers(0, [2 * padding + 1, 2 * padding + 1, 2], (count, 3))

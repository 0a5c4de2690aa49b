"""ImageSet -> batches. The one place where uint8 becomes float.

A run is one stream of batches (with `schedule: pretrain` two, one after the other: additions, then real images).
Position p of a stream is image `order(epoch)[p % N]` of epoch `p // N`, and what online augmentation draws for it is a
function of (seed, epoch, image): the stream can start anywhere, and loader workers change nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.utils.data import Dataset

from touchstone.data.augment import Online
from touchstone.data.imageset import valid_sizes
from touchstone.data.ops import crops
from touchstone.data.ops.resize import scale
from touchstone.data.training_set import TrainingSet
from touchstone.seeds import generator

STATISTICS_BYTES = 2**23  # of pixels looked at together; counting takes eight times as much


Change = Callable[[np.ndarray, slice], np.ndarray]


@dataclass(frozen=True)
class View:
    """How stored images become the net's input, before normalisation.

    size_px: the side of a square image in the store's pixels. input_px: the side that the net takes. crop_px: the side
    of five crops in the store's pixels, which are seen in the place of the square at the centre; 0: they are not.
    """

    size_px: int
    input_px: int
    crop_px: int = 0

    @property
    def num_crops(self) -> int:
        return crops.FIVE if self.crop_px else 1

    def seen(self, pixels: np.ndarray, sizes: np.ndarray | None, change: Change | None = None) -> torch.Tensor:
        """uint8 (B, H, W, C), valid sizes (B, 2) or None -> uint8 (B, P, P, C), with five crops (B, 5, P, P, C).

        change: what happens to pictures uint8 (n, h, w, C) of one size, `rows` of the batch: squares, or, before they
        are cropped, whole images.
        """
        if not self.crop_px:
            squares = self.squares(pixels, sizes)
            return self.resized(squares if change is None else change(squares, slice(None)))
        cut = []
        for i, image in enumerate(pixels):
            height, width = image.shape[:2] if sizes is None else sizes[i]
            valid = image[None, :height, :width]
            cut.append(crops.five((valid if change is None else change(valid, slice(i, i + 1)))[0], self.crop_px))
        shown = self.resized(np.concatenate(cut)) if cut else torch.zeros(0, *(self.input_px,) * 2, pixels.shape[3])
        return shown.unflatten(0, (len(cut), crops.FIVE))

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
        """uint8 (B, S, S, C) -> uint8 (B, input_px, input_px, C)."""
        if squares.shape[1] != self.input_px:
            squares = np.stack([scale(image, self.input_px, self.input_px) for image in squares])
        return torch.from_numpy(np.require(squares, requirements=["C", "W"]))  # a copy only of mapped files


def to_float(pixels: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """uint8 (B, H, W, C) -> normalised float32 (B, C, H, W), channels_last. mean, std: (C, 1, 1), in grey levels.

    Of five crops (B, 5, H, W, C) each is an image of its own: (B * 5, C, H, W).
    """
    pixels = crops.flat(pixels)
    count, height, width, channels = pixels.shape
    rows = pixels.float().view(count * height, width * channels)  # a channel's statistics recur along a row of pixels:
    rows.sub_(mean.flatten().repeat(width)).div_(std.flatten().repeat(width))  # long rows are quicker than (C, 1, 1)
    return rows.view(pixels.shape).permute(0, 3, 1, 2)  # NHWC seen as NCHW is channels_last


def statistics(data: TrainingSet) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over all pixels of images, in grey levels, exact in integers.

    Padding, where images are stored in the size of the largest, does not count.
    """
    sizes = valid_sizes(data.table)
    block = max(1, STATISTICS_BYTES // max(1, data.parts[0][0].nbytes))
    total = squares = np.zeros(data.parts[0].shape[3], np.int64)  # (C,)
    count = 0
    for start in range(0, len(data), block):
        rows = np.arange(start, min(start + block, len(data)))
        pixels = data.gather(rows)
        if sizes is not None:
            pairs = zip(pixels, sizes[rows], strict=True)
            pixels = np.concatenate([image[:h, :w].reshape(-1, image.shape[2]) for image, (h, w) in pairs])
        levels = np.stack([np.bincount(pixels[..., c].ravel(), minlength=256) for c in range(pixels.shape[-1])])
        total = total + levels @ np.arange(256)
        squares = squares + levels @ np.arange(256) ** 2
        count += pixels[..., 0].size
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1.0))  # a constant image does not divide by zero
    return [round(float(m), 4) for m in mean], [round(float(s), 4) for s in std]


class Batches(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The batches `start` .. `stop` - 1 of a stream of `num_steps`: uint8 (B, P, P, C) and labels each, B constant.

    With five crops uint8 (B, 5, P, P, C); where `data` holds features (see backbone.py) in the place of images float32
    (B, D), or (B, 5, D). labels: int64 (N,) or float32 (N, K), see labels.py.
    """

    def __init__(
        self,
        data: TrainingSet,
        labels: np.ndarray,
        *,
        view: View,
        online: Online,
        batch_size: int,
        num_steps: int,
        start: int,
        stop: int,
        seed: int,
    ) -> None:
        self.data, self.labels, self.view, self.online = data, labels, view, online
        self.batch_size, self.num_steps, self.start, self.stop, self.seed = batch_size, num_steps, start, stop, seed
        self.sizes = valid_sizes(data.table)
        wanted = round(num_steps * data.pretrain_share)
        self.pretrain_steps = min(max(1, wanted), num_steps - 1) if data.pretrain_share else 0

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, item: int) -> tuple[torch.Tensor, torch.Tensor]:
        index, drawn = self._drawn(self.start + item)
        found, labels = self.data.gather(index), torch.from_numpy(self.labels[index])
        if found.dtype != np.uint8:
            return torch.from_numpy(np.require(found, requirements=["C", "W"])), labels

        def change(pictures: np.ndarray, rows: slice) -> np.ndarray:
            return self.online.apply(pictures, drawn[rows], input_px=self.view.input_px)

        sizes = None if self.sizes is None else self.sizes[index]
        return self.view.seen(found, sizes, change if self.online else None), labels

    def _drawn(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Images (B,) and what is drawn for them, in a step: of all images, or of the additions or the real ones."""
        if not self.pretrain_steps:
            return self._positions(step * self.batch_size, len(self.data))
        real = self.data.num_real
        if step < self.pretrain_steps:
            index, drawn = self._positions(step * self.batch_size, len(self.data) - real)
            return index + real, drawn
        return self._positions((step - self.pretrain_steps) * self.batch_size, real)

    def _positions(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """From position `first` on of the stream over `count` images."""
        epoch, place = np.divmod(np.arange(first, first + self.batch_size), count)
        index, drawn = [], []
        for e in range(int(epoch[0]), int(epoch[-1]) + 1):
            rows = order(self.seed, e, count)[place[epoch == e]]
            index.append(rows)
            drawn.append(self.online.drawn(self.seed, e, count)[rows])
        return np.concatenate(index), np.concatenate(drawn)


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of `count` images in an epoch, int64 (count,)."""
    return generator(seed, "order", epoch).permutation(count)

"""Batches of a training set, and the only place where pixels become floating-point numbers.

A run is one stream of batches, or with `schedule: pretrain` two: added images, then real ones. Position p of a stream
is image `order(epoch)[p % N]` of epoch `p // N`, augmented by random numbers that depend on (seed, epoch, image) alone,
or on (seed, epoch, p % N) where images are drawn by weights. A stream can therefore start anywhere, and the number of
loader workers changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch.utils.data import Dataset

from touchstone.config.schema.augmentation import Augmentation
from touchstone.data.augment import augment, draw
from touchstone.data.imageset import valid_sizes
from touchstone.data.levels import PER_LEVEL, is_pixels, per_level, white
from touchstone.data.ops import crops
from touchstone.data.ops.resize import filtered
from touchstone.data.sampling import balancing_weights, order, weighted_order
from touchstone.data.training_set import TrainingSet

STATISTICS_BYTES = 2**23  # of pixels counted at once, which takes eight times as much memory

Change = Callable[[np.ndarray, slice], np.ndarray]


@dataclass(frozen=True)
class View:
    """The steps from stored images to the net's input before normalisation."""

    size_px: int
    """Side of the square that is cut from the centre of a stored image, in its pixels."""
    input_px: int
    """Side of the net's input."""
    crop_px: int = 0
    """Side of five crops that are taken instead of the square, in pixels of the stored image; 0 for none."""
    crop_share: float = 1.0
    """Share of the square's side that the net sees, at its centre."""
    interpolation: str = "area"
    """The filter that scales squares, see `resize.filtered`."""
    test_crops: int = 1
    """Number of squares that are cut at test time for each scale: 1, 5 or 9."""
    test_scales: tuple[float, ...] = (1.0,)
    """Their sides as shares of `size_px`."""

    @property
    def cuts_windows(self) -> bool:
        """Whether squares are cut at test time; their predictions are averaged."""
        return self.test_crops > 1 or self.test_scales != (1.0,)

    @property
    def num_crops(self) -> int:
        """The number of the net's inputs per image, at most."""
        return crops.FIVE if self.crop_px else self.test_crops * len(self.test_scales)

    @property
    def plain(self) -> "View":
        """The view without squares that are cut at test time."""
        return replace(self, test_crops=1, test_scales=(1.0,))

    def seen(self, pixels: np.ndarray, sizes: np.ndarray | None, change: Change | None = None) -> torch.Tensor:
        """Return the net's input, pixels (B, P, P, C), or (B, V, P, P, C) with five crops or squares at test time.

        pixels: uint8 or uint16 (B, H, W, C). sizes: valid (height, width), (B, 2), or None without padding. change:
        augments pixels (n, h, w, C), the images `rows` of the batch: squares, or whole images before five crops.
        """
        if self.cuts_windows:
            return self._windows(pixels, sizes)
        if not self.crop_px:
            squares = self._centre(self.squares(pixels, sizes))
            return self.resized(squares if change is None else change(squares, slice(None)))
        cut = []
        for i, image in enumerate(pixels):
            height, width = image.shape[:2] if sizes is None else sizes[i]
            valid = image[None, :height, :width]
            cut.append(crops.five((valid if change is None else change(valid, slice(i, i + 1)))[0], self.crop_px))
        out = self.resized(np.concatenate(cut)) if cut else torch.zeros(0, *(self.input_px,) * 2, pixels.shape[3])
        return out.unflatten(0, (len(cut), crops.FIVE))

    def squares(self, pixels: np.ndarray, sizes: np.ndarray | None) -> np.ndarray:
        """Cut the centres of pixels (B, H, W, C) with valid sizes (B, 2), or None: (B, size_px, size_px, C)."""
        if sizes is None:
            return pixels
        out = np.empty((len(pixels), self.size_px, self.size_px, pixels.shape[3]), pixels.dtype)
        for i, (height, width) in enumerate(sizes):
            top, left = (height - self.size_px) // 2, (width - self.size_px) // 2
            out[i] = pixels[i, top : top + self.size_px, left : left + self.size_px]
        return out

    def _centre(self, squares: np.ndarray) -> np.ndarray:
        """Cut the share of squares that the net sees."""
        whole = squares.shape[1]
        side = max(1, round(self.crop_share * whole))
        first = (whole - side) // 2
        return squares if side == whole else squares[:, first : first + side, first : first + side]

    def _windows(self, pixels: np.ndarray, sizes: np.ndarray | None) -> torch.Tensor:
        """Cut squares of each scale from whole images, and scale them to the net's input."""
        out = []
        for i, image in enumerate(pixels):
            height, width = image.shape[:2] if sizes is None else sizes[i]
            cut: list[np.ndarray] = []
            for share in self.test_scales:
                side = max(1, round(share * self.size_px))
                number = 1 if sizes is None and side == self.size_px else self.test_crops  # else all the same
                cut += crops.windows(image[:height, :width], side, number)
            size = self.input_px, self.input_px
            out.append(np.stack([filtered(window, *size, interpolation=self.interpolation) for window in cut]))
        return torch.from_numpy(np.stack(out)) if out else torch.zeros(0, 1, *(self.input_px,) * 2, pixels.shape[3])

    def resized(self, squares: np.ndarray) -> torch.Tensor:
        """Scale squares (B, S, S, C) to (B, input_px, input_px, C)."""
        if squares.shape[1] != self.input_px:
            size = self.input_px, self.input_px
            squares = np.stack([filtered(image, *size, interpolation=self.interpolation) for image in squares])
        return torch.from_numpy(np.require(squares, requirements=["C", "W"]))  # copies only memory-mapped files


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor of the CPU on a device; this process does not wait for what a GPU still has to compute."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_float(pixels: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Normalise pixels (B, H, W, C) to float32 (B, C, H, W), channels_last; (B, V, H, W, C) to (B * V, C, H, W).

    pixels: uint8 or uint16. mean, std: (C, 1, 1), in grey levels, 0 to 255 at either depth.
    """
    pixels = crops.flat(pixels)
    count, height, width, channels = pixels.shape
    # A channel's statistics are repeated along a row of pixels: long rows are faster than broadcasting (C, 1, 1).
    rows = pixels.float().view(count * height, width * channels)
    if pixels.dtype == torch.uint16:
        rows.div_(PER_LEVEL)
    rows.sub_(mean.flatten().repeat(width)).div_(std.flatten().repeat(width))
    return rows.view(pixels.shape).permute(0, 3, 1, 2)  # NHWC viewed as NCHW is channels_last


def statistics(data: TrainingSet) -> tuple[list[float], list[float]]:
    """Return the mean and standard deviation of each channel in grey levels, from exact sums, without padding."""
    sizes = valid_sizes(data.table)
    block = max(1, STATISTICS_BYTES // max(1, data.parts[0][0].nbytes))
    dtype, channels = data.parts[0].dtype, data.parts[0].shape[3]
    values, step = np.arange(white(dtype) + 1), per_level(dtype)
    total, squares = [0] * channels, [0] * channels  # Python's integers: squares of 16 bits would overflow others
    count = 0
    for start in range(0, len(data), block):
        rows = np.arange(start, min(start + block, len(data)))
        pixels = data.gather(rows)
        if sizes is not None:
            pairs = zip(pixels, sizes[rows], strict=True)
            pixels = np.concatenate([image[:h, :w].reshape(-1, image.shape[2]) for image, (h, w) in pairs])
        for c in range(channels):
            levels = np.bincount(pixels[..., c].ravel(), minlength=len(values))
            total[c] += int(levels @ values)
            squares[c] += int(levels @ values**2)
        count += pixels[..., 0].size
    mean = np.array([each / count for each in total])
    std = np.sqrt(np.maximum(np.array([each / count for each in squares]) - mean**2, 1.0))  # so no image divides by 0
    digits = 4 if step == 1 else 6
    return [round(float(m), digits) for m in mean / step], [round(float(s), digits) for s in std / step]


@dataclass(eq=False)
class Batches(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The batches `start` to `stop` - 1 of a stream of `num_steps`: pairs of images and labels.

    Images are pixels (B, P, P, C), or (B, 5, P, P, C) with five crops; features (models/feature_cache.py) are float32
    (B, D) or (B, 5, D).
    """

    data: TrainingSet
    labels: np.ndarray
    """int64 (N,) or float32 (N, K), see `labels.encode`."""
    view: View
    augmentation: Augmentation
    batch_size: int
    num_steps: int
    start: int
    stop: int
    seed: int
    balance: float = 0.0
    """Power of the inverse class frequency by which images are drawn with replacement; 0 shows each once an epoch."""
    rows: slice = field(default_factory=lambda: slice(None))
    """The rows of each batch whose images are made; labels are those of the whole batch."""

    def __post_init__(self) -> None:
        self.sizes = valid_sizes(self.data.table)
        share = round(self.num_steps * self.data.pretrain_share)
        self.pretrain_steps = min(max(1, share), self.num_steps - 1) if self.data.pretrain_share else 0
        self._weighted: dict[tuple[int, int], np.ndarray] = {}  # the latest order of `weighted_order`

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, item: int) -> tuple[torch.Tensor, torch.Tensor]:
        index, drawn = self.images_of(self.start + item)
        labels = torch.from_numpy(self.labels[index])
        index, drawn = index[self.rows], drawn[self.rows]
        pixels = self.data.gather(index)
        if not is_pixels(pixels.dtype):  # features
            return torch.from_numpy(np.require(pixels, requirements=["C", "W"])), labels

        def change(images: np.ndarray, rows: slice) -> np.ndarray:
            return augment(images, drawn[rows], self.augmentation, input_px=self.view.input_px)

        sizes = None if self.sizes is None else self.sizes[index]
        return self.view.seen(pixels, sizes, change if self.augmentation.augments else None), labels

    def images_of(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the images of a step (B,) and their random numbers (B, columns)."""
        offset, count = 0, len(self.data)  # the stream is over the images offset .. offset + count - 1
        if step < self.pretrain_steps:
            offset, count = self.data.num_real, count - self.data.num_real
        elif self.pretrain_steps:
            step, count = step - self.pretrain_steps, self.data.num_real
        first = step * self.batch_size
        epoch, place = np.divmod(np.arange(first, first + self.batch_size), count)
        index, drawn = [], []
        for e in range(int(epoch[0]), int(epoch[-1]) + 1):
            places = place[epoch == e]
            rows = self._order(e, offset, count)[places]
            index.append(offset + rows)
            # An image that is drawn several times in an epoch is augmented anew each time.
            numbers = places if self.balance else rows
            drawn.append(draw(self.augmentation, seed=self.seed, epoch=e, count=count)[numbers])
        return np.concatenate(index), np.concatenate(drawn)

    def _order(self, epoch: int, offset: int, count: int) -> np.ndarray:
        """Return the order of an epoch, int64 (count,), over the images from `offset` on."""
        if not self.balance:
            return order(self.seed, epoch, count)
        if (epoch, offset) not in self._weighted:
            weights = balancing_weights(self.labels[offset : offset + count], self.balance)
            self._weighted = {(epoch, offset): weighted_order(self.seed, epoch, weights)}
        return self._weighted[epoch, offset]

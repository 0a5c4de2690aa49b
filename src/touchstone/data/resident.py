"""Batches that are made where the net is: training images lie in the device's memory, and are augmented there.

The pixels are those of `Batches` to the bit. Random numbers come from the same streams; what is done with them is
indexing and arithmetic that rounds alike on all devices: crops, mirror images, brightness, contrast and saturation.
Nothing waits for the device within a step.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from touchstone.data.augment import (
    BORDERS,
    COLOUR,
    CROP_AND_MIRROR,
    JITTER,
    brightness_contrast,
    numbers_of,
    saturations,
    switched_on,
)
from touchstone.data.batches import Batches, sent
from touchstone.data.imageset import BLOCK
from touchstone.data.lazy_images import release
from touchstone.data.levels import WHITE
from touchstone.data.ops.colour import LUMA

MOST_MEMORY = 0.5  # of a GPU's free memory

Batch = tuple[torch.Tensor, torch.Tensor]


class ResidentBatches(Iterable[Batch]):
    """The batches of `batches`, on a device that holds all their images, see `fits`."""

    def __init__(self, batches: Batches, device: torch.device) -> None:
        self.batches, self.device = batches, device
        self.side, self.padding = batches.view.input_px, batches.augmentation.crop_padding

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        images, labels = self._all(), torch.tensor(self.batches.labels, device=self.device)
        for step in range(self.batches.start, self.batches.stop):
            index, drawn = self.batches.images_of(step)
            own = self.batches.rows
            yield self._pixels(images, index[own], numbers_of(drawn[own])), labels[self._sent(index)]

    def _all(self) -> torch.Tensor:
        """Return all training images on the device, padded as crops need them, uint8 (N, H, W, C)."""
        batches, settings = self.batches, self.batches.augmentation
        whole = self.side + 2 * self.padding
        shape = len(batches.data), whole, whole, batches.data.parts[0].shape[3]
        images = torch.empty(shape, dtype=torch.uint8, device=self.device)
        for start in range(0, len(batches.data), BLOCK):
            rows = np.arange(start, min(start + BLOCK, len(batches.data)))
            pixels = batches.data.gather(rows)
            if self.padding:
                sides = (self.padding, self.padding)
                pixels = np.pad(pixels, ((0, 0), sides, sides, (0, 0)), BORDERS[settings.crop_border])
            images[start : start + len(rows)] = torch.tensor(pixels).to(self.device)
            for part in batches.data.parts:
                release(part)
        return images

    def _pixels(self, images: torch.Tensor, index: np.ndarray, drawn: dict[str, np.ndarray]) -> torch.Tensor:
        """Return pixels (B, S, S, C) of the images `index`, which `drawn` changes. images: all, see `_all`."""
        settings, along = self.batches.augmentation, np.arange(self.side)
        moves = drawn[CROP_AND_MIRROR].astype(np.int64)
        first = moves[:, :2] if self.padding else np.zeros_like(moves[:, :2])
        rows, columns = first[:, :1] + along, first[:, 1:] + along  # (B, S)
        if settings.hflip:
            columns = np.where(moves[:, 2:] == 1, columns[:, ::-1], columns)
        at = self._sent(index)[:, None, None], self._sent(rows)[:, :, None], self._sent(columns)[:, None, :]
        pixels = images[at]
        if settings.jitter_brightness or settings.jitter_contrast:
            brightness, contrast = self._sent(brightness_contrast(drawn[JITTER], settings)).unbind(1)
            pixels = jittered(pixels, brightness, contrast)
        if settings.jitter_saturation:
            pixels = saturated(pixels, self._sent(saturations(drawn[COLOUR], settings)))
        return pixels

    def _sent(self, array: np.ndarray) -> torch.Tensor:
        return sent(torch.from_numpy(np.ascontiguousarray(array)), self.device)


def jittered(pixels: torch.Tensor, brightness: torch.Tensor, contrast: torch.Tensor) -> torch.Tensor:
    """Do to each image of a batch, uint8 (B, H, W, C), what `colour.photometric` does, by factors float64 (B,)."""
    flat = pixels.flatten(1)
    number = torch.full((), flat.shape[1], dtype=torch.float64, device=pixels.device)  # CUDA multiplies by 1 / a float
    means = torch.where(contrast != 1, flat.sum(1, dtype=torch.int64).double() / number, 0.0)[:, None]
    levels = torch.arange(WHITE + 1, dtype=torch.float64, device=pixels.device)
    changed = ((levels - means) * contrast[:, None] + means) * brightness[:, None]  # (B, 256)
    table = (changed + 0.5).floor().clamp(0, WHITE).to(torch.uint8)
    return table.gather(1, flat.long()).view(pixels.shape)


def saturated(pixels: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Do to each image of a batch, uint8 (B, H, W, 3), what `colour.saturate` does, by factors float64 (B,)."""
    channels = pixels.float().unbind(3)
    red, green, blue = (channel * weight for channel, weight in zip(channels, LUMA.tolist(), strict=True))
    grey = (red + green + blue)[..., None]  # (B, H, W, 1)
    changed = grey + (pixels - grey) * factors.float()[:, None, None, None]
    return (changed + 0.5).floor().clamp(0, WHITE).to(torch.uint8)


def fits(batches: Batches, device: torch.device) -> bool:
    """Whether the device can make these batches: images of 8 bits and one size, that of the net's input, which no other
    operation changes, and room for them."""
    parts, view = batches.data.parts, batches.view
    side = view.input_px
    is_plain = not view.crop_px and view.crop_share == 1 and batches.sizes is None and device.type != "mps"
    is_plain = is_plain and all(part.dtype == np.uint8 and part.shape[1:3] == (side, side) for part in parts)
    settings = batches.augmentation
    if not is_plain or settings.jitter_hue or not switched_on(settings) <= {CROP_AND_MIRROR, JITTER, COLOUR}:
        return False
    if device.type != "cuda":
        return True
    needed = len(batches.data) * (side + 2 * batches.augmentation.crop_padding) ** 2 * parts[0].shape[3]
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch keeps it for later
    return needed < MOST_MEMORY * (torch.cuda.mem_get_info(device)[0] + unused)

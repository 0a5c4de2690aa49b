"""C3, an Inception-like net of 10,832 parameters with three parallel paths that differ in their pooling.

Source: the small-scenes study (8 classes, 256 px, 400 training images); the idea of parallel paths comes from Szegedy
et al. 2014, arXiv 1409.4842. The layers are reconstructed from the authors' public code.
Parameters: 10,832 at 256 px, 3 channels, 8 classes; the same at any size. Input: at least 132 px.
Published: .8016 test accuracy, with the best epoch selected on the test images. Measured: .776 as published but without
that selection (recipes/scenes8), .842 with online augmentation and larger test images (recipes/scenes8_c3, 4 minutes
per seed on one core).
"""

import torch
from torch import nn

from touchstone.models.nets import check_size

LEAST_PX = 132  # path 2 pools three times, which leaves nothing of a smaller input
HEAD = "head"


def build(*, num_classes: int, in_channels: int, input_size: int) -> nn.Module:
    """Build the net, (B, in_channels, input_size, input_size) -> logits (B, num_classes)."""
    check_size("c3", input_size, least=LEAST_PX)
    return C3(num_classes=num_classes, in_channels=in_channels)


class C3(nn.Module):
    """A stem, three paths, the global average of each, and one linear layer."""

    def __init__(self, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv(in_channels, 8, 9, stride=3), nn.MaxPool2d(2))
        self.path1 = nn.Sequential(*_conv(8, 8, 5), *_conv(8, 16, 3))
        self.path2 = nn.Sequential(nn.MaxPool2d(2), *_conv(8, 8, 5), nn.MaxPool2d(2), *_conv(8, 16, 3))
        self.path3 = nn.Sequential(nn.MaxPool2d(3), *_conv(8, 8, 5), *_conv(8, 16, 3))
        self.head = nn.Linear(48, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)  # (B, 8, h, w)
        paths = [path(x).mean((2, 3)) for path in (self.path1, self.path2, self.path3)]  # each (B, 16)
        return self.head(torch.cat(paths, 1))


def _conv(channels_in: int, channels_out: int, size: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels_in, channels_out, size, stride), nn.BatchNorm2d(channels_out), nn.ReLU()

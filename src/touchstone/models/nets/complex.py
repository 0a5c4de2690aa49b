"""Three blocks of Conv-ReLU-BN-MaxPool at the images' own size and a linear layer: the transfer study's large net.

Source: the study states the sequence and Linear 512 -> classes, and calls the net too complex to learn well. Our
choice: 5x5 convolutions to 32, 64 and 128 channels, pooling by 4, and a final adaptive max-pooling to 2 x 2, which
gives 128 x 2 x 2 = 512 features at any size (from 128 to 191 px it changes nothing).
Parameters: 264,202 at 128 px, 3 channels, 10 classes; the same at any size. Input: at least 64 px.
Published: no accuracy.
"""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

from touchstone.models.nets import check_size

LEAST_PX = 64  # three poolings by 4
HEAD = "classifier"


def build(*, num_classes: int, in_channels: int, input_size: int) -> nn.Module:
    """Build the net, (B, in_channels, input_size, input_size) -> logits (B, num_classes)."""
    check_size("complex", input_size, least=LEAST_PX)
    blocks = [_block(a, b) for a, b in ((in_channels, 32), (32, 64), (64, 128))]
    parts = {
        "features": nn.Sequential(*blocks),
        "pool": MaxPoolToFour(),
        "flatten": nn.Flatten(),  # (B, 512)
        "classifier": nn.Linear(512, num_classes),
    }
    return nn.Sequential(OrderedDict(parts))


class MaxPoolToFour(nn.Module):
    """Pool a map (B, C, S, S) to (B, C, 2, 2) over the windows of `nn.AdaptiveMaxPool2d`.

    The gradient of AdaptiveMaxPool2d differs from run to run on a GPU, and `deterministic: true` refuses it.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        side = x.shape[-1]
        return F.max_pool2d(x, (side + 1) // 2, stride=side // 2) if side > 1 else x.expand(-1, -1, 2, 2)


def _block(channels_in: int, channels_out: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, 5, padding=2)
    return nn.Sequential(convolution, nn.ReLU(), nn.BatchNorm2d(channels_out), nn.MaxPool2d(4))

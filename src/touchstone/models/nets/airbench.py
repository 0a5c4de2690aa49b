"""The net of airbench94: six convolutions behind a fixed whitening of small patches, for CIFAR-10 in minutes.

Source: Jordan 2024, arXiv 2404.00498, which builds on Page's ResNet-9 (2018) and on tysam-code's hlb-CIFAR10 (2023).
The first convolution is not trained: it decorrelates patches of 2x2 pixels, as the training images have them, and each
direction is there with both signs. The other convolutions start as partial identities (Zagoruyko & Komodakis 2017,
arXiv 1706.00388); batch norms have a shift and no scale.
Options: width, the channels of the first block (64); the other two have four times as many.
Parameters: 1,971,352 at 32 px, 3 channels, 10 classes; the same at any size. Input: at least 9 px.
Published on CIFAR-10: .9401 test accuracy after 9.9 epochs.
Cost: .12 GMACs per image of 32 px.
"""

from torch import nn

from touchstone.models.nets import check_size
from touchstone.models.nets._airbench import Airbench
from touchstone.models.nets._airbench import from_images as from_images

LEAST_PX = 9  # halved three times, after a patch of 2x2
HEAD = "head"


def build(*, num_classes: int, in_channels: int, input_size: int, width: int = 64) -> nn.Module:
    """Build the net, (B, in_channels, input_size, input_size) -> logits (B, num_classes)."""
    check_size("airbench", input_size, least=LEAST_PX)
    return Airbench(num_classes=num_classes, in_channels=in_channels, input_size=input_size, width=width)

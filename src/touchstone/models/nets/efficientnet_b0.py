"""torchvision's EfficientNet-B0. The weights keep torchvision's names, so its ImageNet weights load.

Source: Tan & Le 2019, arXiv 1905.11946. Head: torchvision's, Dropout .2 and a linear layer. Option: dropout.
Parameters: 4,020,358 at 224 px, 3 channels, 10 classes; the same at any size. Input: at least 32 px.
Published: the transfer study gives no accuracy for this net alone.
"""

from torch import nn
from torchvision import models

from touchstone.models.nets import check_size

LEAST_PX = 32  # strided five times
HEAD = "classifier"
HEAD_OPTIONS = ("dropout",)


def build(*, num_classes: int, in_channels: int, input_size: int, dropout: float = 0.2) -> nn.Module:
    """Build the net, (B, in_channels, input_size, input_size) -> logits (B, num_classes)."""
    check_size("efficientnet_b0", input_size, least=LEAST_PX)
    net = models.efficientnet_b0(num_classes=num_classes, dropout=dropout)
    if in_channels != 3:
        net.features[0][0] = nn.Conv2d(in_channels, 32, 3, stride=2, padding=1, bias=False)
        nn.init.kaiming_normal_(net.features[0][0].weight, mode="fan_out")
    return net


def imagenet() -> str:
    """Return torchvision's name of the weights trained on ImageNet."""
    return "EfficientNet_B0_Weights.IMAGENET1K_V1"

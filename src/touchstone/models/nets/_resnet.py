"""The ResNet for small images, on which several nets are built."""

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}  # depth -> the number of blocks in each layer


def small_resnet(kind: type[ResNet] = ResNet, *, depth: int, num_classes: int, in_channels: int) -> ResNet:
    """Build torchvision's ResNet18 or 34, or a subclass, with a 3x3 stem of stride 1 and no max-pooling."""
    net = kind(BasicBlock, list(BLOCKS[depth]), num_classes=num_classes)
    net.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(
        net.conv1.weight, mode="fan_out", nonlinearity="relu"
    )  # as torchvision's other convolutions
    net.maxpool = nn.Identity()
    return net

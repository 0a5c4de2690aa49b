"""torchvision's ResNet: 18, 34 or 50 layers, names of the weights as there, so that its ImageNet weights load.

Source: He et al. 2015, arXiv 1512.03385. Option depth: 18, 34 or 50. Head: one linear layer, `fc`.
Parameters: 11,181,642 at 224 px, 3 channels, 10 classes (depth 18), whatever the size. Input: at least 32 px.
Published in the transfer study, 10 classes at 224 px: ResNet50 in two phases .9064.
"""

from torch import nn
from torchvision import models

from touchstone.models.nets import check_option, check_size

LEAST_PX = 32  # strided five times
HEAD = "fc"
IMAGENET = {
    18: "ResNet18_Weights.IMAGENET1K_V1",
    34: "ResNet34_Weights.IMAGENET1K_V1",
    50: "ResNet50_Weights.IMAGENET1K_V2",
}


def build(*, num_classes: int, in_channels: int, input_size: int, depth: int = 18) -> nn.Module:
    """(B, in_channels, input_size, input_size) -> logits (B, num_classes)."""
    check_size("resnet", input_size, least=LEAST_PX)
    check_option("resnet", "depth", depth, IMAGENET)
    net = {18: models.resnet18, 34: models.resnet34, 50: models.resnet50}[depth](num_classes=num_classes)
    if in_channels != 3:
        net.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    return net


def imagenet(*, depth: int = 18) -> str:
    """torchvision's name of the weights trained on ImageNet."""
    check_option("resnet", "depth", depth, IMAGENET)
    return IMAGENET[depth]

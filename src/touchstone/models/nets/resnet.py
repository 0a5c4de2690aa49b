"""torchvision's ResNet with 18, 34 or 50 layers. The weights keep torchvision's names, so its ImageNet weights load.

Source: He et al. 2015, arXiv 1512.03385. Option: depth, 18, 34 or 50. Head: a linear layer, `fc`.
Parameters: 11,181,642 at 224 px, 3 channels, 10 classes (depth 18); the same at any size. Input: at least 32 px.
Published in the transfer study on 10 classes at 224 px: .9064 for ResNet50 trained in two phases.
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
    """Build the net, (B, in_channels, input_size, input_size) -> logits (B, num_classes)."""
    check_size("resnet", input_size, least=LEAST_PX)
    check_option("resnet", "depth", depth, IMAGENET)
    net = {18: models.resnet18, 34: models.resnet34, 50: models.resnet50}[depth](num_classes=num_classes)
    if in_channels != 3:
        net.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    return net


def imagenet(*, depth: int = 18) -> str:
    """Return torchvision's name of the weights trained on ImageNet."""
    check_option("resnet", "depth", depth, IMAGENET)
    return IMAGENET[depth]

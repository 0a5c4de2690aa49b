"""ResNet for small images: torchvision's ResNet18 or 34 with a 3x3 stem of stride 1 and without max-pooling.

Source: He et al. 2015, arXiv 1512.03385, with the stem that is usual on CIFAR-10, where the original one would drop
three quarters of the rows and columns. Option: depth, 18 or 34. The weights keep torchvision's names.
Parameters: 11,173,962 at 32 px, 3 channels, 10 classes (depth 18); the same at any size. Input: at least 8 px.
Published on CIFAR-10: .926 test accuracy after 50 epochs (depth 18).
Cost: .56 GMACs per image of 32 px, four times that of `net`.
"""

from torch import nn

from touchstone.models.nets import check_option, check_size
from touchstone.models.nets._resnet import BLOCKS, small_resnet

LEAST_PX = 8  # strided three times
HEAD = "fc"


def build(*, num_classes: int, in_channels: int, input_size: int, depth: int = 18) -> nn.Module:
    """Build the net, (B, in_channels, input_size, input_size) -> logits (B, num_classes)."""
    check_size("resnet_cifar", input_size, least=LEAST_PX)
    check_option("resnet_cifar", "depth", depth, BLOCKS)
    return small_resnet(depth=depth, num_classes=num_classes, in_channels=in_channels)

"""ResNet18 with a block of classic attention, A = softmax(QKᵀ / √d), to compare with `resnet_graph_attention`.

Source: the CIFAR-10 study with generated images, which compares it with its graph attention; A is that of Vaswani et
al. 2017, arXiv 1706.03762. The place of the block and the use of A are those of `resnet_graph_attention`, so the two
nets differ only in A.
Options: depth, 18 or 34; at, the map: image or layer1 to layer4; patch, in px of that map; heads; width of the nodes.
The weights are named as in `resnet_cifar`, plus `attention`, so training can start from a run of that net.
Parameters: 11,354,826 at 32 px, 3 channels, 10 classes, default options. Input: at least 8 px.
Published on CIFAR-10: .931 test accuracy as a new block on a trained backbone (5 epochs); .926 for the backbone alone.
"""

from torch import nn

from touchstone.models.nets import check_size
from touchstone.models.nets._attentive_resnet import attentive_resnet

LEAST_PX = 8  # strided three times
HEAD = "fc"
ATTENDS = True


def build(
    *,
    num_classes: int,
    in_channels: int,
    input_size: int,
    depth: int = 18,
    at: str = "layer4",
    patch: int = 1,
    heads: int = 4,
    width: int = 128,
) -> nn.Module:
    """Build the net, (B, in_channels, input_size, input_size) -> logits (B, num_classes)."""
    check_size("resnet_classic_attention", input_size, least=LEAST_PX)
    return attentive_resnet(
        "classic",
        num_classes=num_classes,
        in_channels=in_channels,
        input_size=input_size,
        depth=depth,
        at=at,
        patch=patch,
        heads=heads,
        width=width,
    )

"""ResNet18 with one block of classic attention: A = softmax(QKᵀ / √d), beside `resnet_graph_attention`.

Source: the CIFAR-10 study with generated images, which sets it beside its graph attention; A as Vaswani et al. 2017,
arXiv 1706.03762, have it. Where the block sits and what uses A is the same as in `resnet_graph_attention`, so that the
two differ in A alone.
Options: depth 18 or 34; at: image, layer1 to layer4; patch, in px of the map there; heads; width of the nodes.
Names of the weights: those of `resnet_cifar`, and `attention`, so that a run of that net can be started from.
Parameters: 11,354,826 at 32 px, 3 channels, 10 classes, all options as they are. Input: at least 8 px.
Published: .931 of CIFAR-10's test images as a new block on a trained backbone (5 epochs); .926 for the backbone alone.
"""

from torch import nn

from touchstone.models.nets import check_size
from touchstone.models.nets._attention import attentive_resnet

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
    """(B, in_channels, input_size, input_size) -> logits (B, num_classes)."""
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

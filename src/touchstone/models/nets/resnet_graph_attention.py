"""ResNet18 with a block of graph attention, A = softmax(σ(K + Qᵀ)), where K and Q have one number per node.

Source: the CIFAR-10 study with generated images, which puts such a block on a ResNet18 "in the ViT manner" and does not
state what uses A, where the block is, or what σ is. Our choice: σ = LeakyReLU of slope .2 and Z = A · (H W_V), both as
in graph attention networks (arXiv 1710.10903, where e_ij = LeakyReLU(a_1ᵀ W h_i + a_2ᵀ W h_j) has exactly this form); Z
is turned back into a map and added to the map it came from, starting at zero (see models/nets/_attention.py); the block
follows `layer4`, before the pooling and `fc`, where a patch of 1 makes 16 nodes of an image of 32 px.
Options: depth, 18 or 34; at, the map: image or layer1 to layer4; patch, in px of that map; heads; width of the nodes.
The weights are named as in `resnet_cifar`, plus `attention`, so training can start from a run of that net.
Parameters: 11,323,082 at 32 px, 3 channels, 10 classes, default options. Input: at least 8 px.
Published on CIFAR-10: .918 test accuracy when all of it is trained from the start, .935 as a new block on a trained
backbone (5 epochs); .926 for the backbone alone.
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
    check_size("resnet_graph_attention", input_size, least=LEAST_PX)
    return attentive_resnet(
        "graph",
        num_classes=num_classes,
        in_channels=in_channels,
        input_size=input_size,
        depth=depth,
        at=at,
        patch=patch,
        heads=heads,
        width=width,
    )

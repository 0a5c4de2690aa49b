"""ResNet18 with one block of graph attention: A = softmax(σ(K + Qᵀ)), K and Q of one number a node.

Source: the CIFAR-10 study with generated images, which puts such a block on a ResNet18 "in the ViT manner" and leaves
open what uses A, where the block sits and what σ is. Chosen here: σ = LeakyReLU of slope .2 and Z = A · (H W_V), both
as graph attention networks have them (arXiv 1710.10903, whose e_ij = LeakyReLU(a_1ᵀ W h_i + a_2ᵀ W h_j) is this very
form); Z is put back and added to the map it came from, starting at zero (see models/nets/_attention.py); the block sits
on the output of `layer4`, before the pooling and `fc`, where a patch of 1 makes 16 nodes of an image of 32 px.
Options: depth 18 or 34; at: image, layer1 to layer4; patch, in px of the map there; heads; width of the nodes.
Names of the weights: those of `resnet_cifar`, and `attention`, so that a run of that net can be started from.
Parameters: 11,323,082 at 32 px, 3 channels, 10 classes, all options as they are. Input: at least 8 px.
Published: .918 of CIFAR-10's test images trained whole from the start, .935 as a new block on a trained backbone (5
epochs); .926 for the backbone alone.
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

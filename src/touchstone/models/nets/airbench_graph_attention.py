"""The net of airbench94 with a block of graph attention, A = softmax(σ(K + Qᵀ)), K and Q one number per node.

Source: `airbench` (Jordan 2024, arXiv 2404.00498) and the block of `resnet_graph_attention`. By default the block
follows the last convolutions, before the pooling, where a patch of 1 makes 9 nodes of an image of 32 px.
Options: width, as in `airbench`; at, the map: block1 to block3; patch, in px of that map; heads; node_width.
The weights are named as in `airbench`, plus `attention`, so training can start from a run of that net.
Parameters: 2,054,680 at 32 px, 3 channels, 10 classes, default options. Input: at least 9 px.
No figure is published for this net.
"""

from torch import nn

from touchstone.models.nets import check_size
from touchstone.models.nets._airbench import from_images as from_images
from touchstone.models.nets._attentive_airbench import attentive_airbench

LEAST_PX = 9  # as in `airbench`
HEAD = "head"
ATTENDS = True


def build(
    *,
    num_classes: int,
    in_channels: int,
    input_size: int,
    width: int = 64,
    at: str = "block3",
    patch: int = 1,
    heads: int = 4,
    node_width: int = 128,
) -> nn.Module:
    """Build the net, (B, in_channels, input_size, input_size) -> logits (B, num_classes)."""
    check_size("airbench_graph_attention", input_size, least=LEAST_PX)
    return attentive_airbench(
        "graph",
        num_classes=num_classes,
        in_channels=in_channels,
        input_size=input_size,
        width=width,
        at=at,
        patch=patch,
        heads=heads,
        node_width=node_width,
    )

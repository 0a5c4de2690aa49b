"""The net of airbench94 with one block of attention."""

import torch

from touchstone.models.nets import check_option
from touchstone.models.nets._airbench import SCALE, Airbench
from touchstone.models.nets._attention import Attentive, PatchAttention

BLOCKS = ("block1", "block2", "block3")  # each halves the sides


class AttentiveAirbench(Attentive, Airbench):
    """An `Airbench` in which the output of a block of convolutions passes through the block `attention`."""

    num_before: int  # blocks of convolutions

    def before_attention(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks[: self.num_before](self.activation(self.whitening(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks[self.num_before :](self.attention(self.before_attention(x)))
        return self.head(SCALE * self.pool(x))


def attentive_airbench(
    kind: str,
    *,
    num_classes: int,
    in_channels: int,
    input_size: int,
    width: int,
    at: str,
    patch: int,
    heads: int,
    node_width: int,
) -> AttentiveAirbench:
    """Build `airbench` with a block of attention. kind: "graph" or "classic".

    The weights of `airbench` are drawn first and keep their names. Raises TouchstoneError on an unknown block, and
    ValueError as `PatchAttention` does.
    """
    check_option(f"airbench_{kind}_attention", "at", at, BLOCKS)
    net = AttentiveAirbench(num_classes=num_classes, in_channels=in_channels, input_size=input_size, width=width)
    net.num_before = BLOCKS.index(at) + 1
    side_px = (input_size - 1) // 2**net.num_before  # the whitening takes one
    channels = width if net.num_before == 1 else 4 * width
    net.attention = PatchAttention(kind, channels=channels, side_px=side_px, patch=patch, heads=heads, width=node_width)
    return net

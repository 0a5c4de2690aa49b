"""Attention among the patches of a map, and the ResNet that carries one block of it.

A patch embedding makes nodes of a map, as in the ViT (Dosovitskiy et al. 2020, arXiv 2010.11929); attention A mixes
them; what comes out is added to the map it came from. There are no position embeddings: a convolution before the block
sees the border, and the block's weights then do not hang on the size of the map.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torchvision.models.resnet import ResNet

from touchstone.models.nets import check_option
from touchstone.models.nets._resnet import BLOCKS, small_resnet

KINDS = ("graph", "classic")
IMAGE, LAYERS = "image", ("layer1", "layer2", "layer3", "layer4")
CHANNELS = {"layer1": 64, "layer2": 128, "layer3": 256, "layer4": 512}  # of a layer's output
MAX_NUMBERS = 2**26  # of A at once, where there are no gradients
SLOPE = 0.2  # of σ = LeakyReLU, as in graph attention networks (Velickovic et al. 2017, arXiv 1710.10903)


def additive(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """A = softmax(σ(K + Qᵀ)). queries, keys: (..., N, 1); returns (..., N, N), whose rows sum to 1.

    With no σ the softmax over j of k_i + q_j would be the same for every i: σ is what makes nodes attend differently.
    """
    return F.softmax(_LeakySums.apply(queries, keys), dim=-1)


class _LeakySums(torch.autograd.Function):
    """σ(K + Qᵀ). For the gradient Q and K are kept, from which the signs follow: no N x N values, as autograd would."""

    @staticmethod
    def forward(ctx: Any, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(queries, keys)
        return F.leaky_relu_(keys + queries.transpose(-1, -2), SLOPE)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        queries, keys = ctx.saved_tensors
        above = grad.where(keys > -queries.transpose(-1, -2), 0.0)  # σ' is 1 there, SLOPE elsewhere
        of_queries, of_keys = (SLOPE * grad.sum(d) + (1 - SLOPE) * above.sum(d) for d in (-2, -1))
        return of_queries.unsqueeze(-1), of_keys.unsqueeze(-1)


def bilinear(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """A = softmax(QKᵀ / √d), Vaswani et al. 2017, arXiv 1706.03762. queries, keys: (..., N, d); returns (..., N, N)."""
    scaled = queries / math.sqrt(queries.shape[-1])
    return F.softmax(scaled @ keys.transpose(-1, -2), dim=-1)


class PatchAttention(nn.Module):
    """One block: (B, channels, S, S) -> the same shape.

    H = patches embedded by a convolution whose kernel and stride are the patch, (B, N, width); Q = H W_Q and K = H W_K,
    of one number a node and head (graph) or width / heads (classic); Z = A · (H W_V), head by head; its patches are put
    back by a transposed convolution of the same geometry and added to the input. That last convolution starts at zero
    (as the last scale of a residual branch in Goyal et al. 2017, arXiv 1706.02677), so that a trained net with a new
    block at first answers what it answered without.

    side_px: S. Raises ValueError where the patch is larger than the map or does not divide it, or heads not the width.
    """

    def __init__(self, kind: str, *, channels: int, side_px: int, patch: int, heads: int, width: int) -> None:
        super().__init__()
        check_geometry(side_px, patch=patch, heads=heads, width=width)
        each = 1 if kind == "graph" else width // heads
        self.attend = additive if kind == "graph" else bilinear
        self.heads, self.side = heads, side_px // patch
        self.embed = nn.Conv2d(channels, width, patch, stride=patch)
        self.queries = nn.Linear(width, heads * each, bias=False)
        self.keys = nn.Linear(width, heads * each, bias=False)
        self.values = nn.Linear(width, width, bias=False)
        self.restore = nn.ConvTranspose2d(width, channels, patch, stride=patch)
        nn.init.zeros_(self.restore.weight)
        nn.init.zeros_(self.restore.bias)  # type: ignore[arg-type]

    def nodes(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) -> H (B, N, width), N patches row by row."""
        return self.embed(x).flatten(2).transpose(1, 2)

    def attention(self, nodes: torch.Tensor) -> torch.Tensor:
        """H (B, N, width) -> A (B, heads, N, N): a row says what a node takes from which."""
        return self.attend(self._by_head(self.queries(nodes)), self._by_head(self.keys(nodes)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            return self._added(x)
        nodes = (x.shape[-2] // self.embed.stride[0]) * (x.shape[-1] // self.embed.stride[1])
        few = max(1, MAX_NUMBERS // (self.heads * nodes**2))  # prediction's batches are larger than training's
        return torch.cat([self._added(part) for part in x.split(few)])

    def _added(self, x: torch.Tensor) -> torch.Tensor:
        h = self.nodes(x)  # (B, N, width)
        z = self.attention(h) @ self._by_head(self.values(h))  # (B, heads, N, width / heads)
        rows, columns = x.shape[-2] // self.embed.stride[0], x.shape[-1] // self.embed.stride[1]
        z = z.transpose(2, 3).flatten(1, 2).unflatten(2, (rows, columns))  # (B, width, rows, columns)
        return x + self.restore(z)

    def _by_head(self, values: torch.Tensor) -> torch.Tensor:
        """(B, N, heads * d) -> (B, heads, N, d)."""
        return values.unflatten(2, (self.heads, -1)).transpose(1, 2)


def check_geometry(side_px: int, *, patch: int, heads: int, width: int) -> None:
    """Raise ValueError where a map of `side_px` cannot be cut into whole patches, or a width into heads."""
    for name, value in (("patch", patch), ("heads", heads), ("width", width)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: got {value!r}, expected a whole number from 1 on")
    if side_px % patch:
        fitting = ", ".join(str(n) for n in range(1, side_px + 1) if side_px % n == 0)
        wrong = "larger than" if patch > side_px else "which does not divide"
        raise ValueError(f"patch: got {patch}, {wrong} the map of {side_px}x{side_px}; one of {fitting}")
    if width % heads:
        raise ValueError(f"heads: got {heads}, which does not divide width {width}")


class AttentiveResNet(ResNet):
    """A ResNet whose image, or whose output of one layer, passes the block `attention`."""

    at: str
    attention: PatchAttention

    def _stages(self) -> Iterator[tuple[str, nn.Module]]:
        yield IMAGE, nn.Identity()
        for name in ("conv1", "bn1", "relu", "maxpool", *LAYERS):
            yield name, self.get_submodule(name)

    def before_attention(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) -> the map that the block takes."""
        for name, stage in self._stages():
            x = stage(x)
            if name == self.at:
                break
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name, stage in self._stages():
            x = stage(x)
            if name == self.at:
                x = self.attention(x)
        return self.fc(self.avgpool(x).flatten(1))


def attentive_resnet(
    kind: str,
    *,
    num_classes: int,
    in_channels: int,
    input_size: int,
    depth: int,
    at: str,
    patch: int,
    heads: int,
    width: int,
) -> AttentiveResNet:
    """`resnet_cifar`, its weights drawn first and by the same names, with one block of attention, "graph" or "classic".

    Raises TouchstoneError on an unknown depth or layer, ValueError where the patch does not suit the map there.
    """
    net_name = f"resnet_{kind}_attention"
    check_option(net_name, "depth", depth, BLOCKS)
    check_option(net_name, "at", at, (IMAGE, *LAYERS))
    net = small_resnet(AttentiveResNet, depth=depth, num_classes=num_classes, in_channels=in_channels)
    assert isinstance(net, AttentiveResNet)
    side_px, channels = input_size, in_channels
    if at != IMAGE:
        channels = CHANNELS[at]
        for _ in range(LAYERS.index(at)):
            side_px = -(-side_px // 2)  # each layer but the first has stride 2
    net.at = at
    net.attention = PatchAttention(kind, channels=channels, side_px=side_px, patch=patch, heads=heads, width=width)
    return net


@torch.no_grad()
def attended(net: AttentiveResNet, x: torch.Tensor) -> torch.Tensor:
    """(B, C, S, S) -> (B, rows, columns): how much each patch is attended to, the mean of A over heads and nodes.

    It sums to 1 over the patches; 1 / N everywhere is attention that tells no patch from another.
    """
    seen = net.before_attention(x)
    block = net.attention
    share = block.attention(block.nodes(seen)).mean((1, 2))  # (B, heads, N, N) -> (B, N)
    return share.unflatten(1, (seen.shape[-2] // block.embed.stride[0], -1))

"""Attention among the patches of a map.

A patch embedding turns a map into nodes, as in the ViT (Dosovitskiy et al. 2020, arXiv 2010.11929); attention A mixes
them; the result is added to the map. There are no position embeddings: the convolutions before the block see the
border, and so the block's weights do not depend on the size of the map.
"""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

MAX_NUMBERS = 2**26  # the numbers of A that are computed at once where no gradients are needed
SLOPE = 0.2  # of σ = LeakyReLU, as in graph attention networks (Velickovic et al. 2017, arXiv 1710.10903)


def additive(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Return A = softmax(σ(K + Qᵀ)), (..., N, N), whose rows sum to 1. queries, keys: (..., N, 1).

    Without σ the softmax over j of k_i + q_j would be the same for every i; σ lets nodes attend differently.
    """
    return F.softmax(_LeakySums.apply(queries, keys), dim=-1)


class _LeakySums(torch.autograd.Function):
    """σ(K + Qᵀ), keeping only Q and K for the gradient; autograd would keep N x N values."""

    @staticmethod
    def forward(ctx: Any, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(queries, keys)
        return F.leaky_relu_(keys + queries.transpose(-1, -2), SLOPE)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        queries, keys = ctx.saved_tensors
        above = grad.where(keys > -queries.transpose(-1, -2), 0.0)  # σ' is 1 here and SLOPE elsewhere
        of_queries, of_keys = (SLOPE * grad.sum(d) + (1 - SLOPE) * above.sum(d) for d in (-2, -1))
        return of_queries.unsqueeze(-1), of_keys.unsqueeze(-1)


def bilinear(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Return A = softmax(QKᵀ / √d), (..., N, N), as in Vaswani et al. 2017, arXiv 1706.03762.

    queries, keys: (..., N, d).
    """
    scaled = queries / math.sqrt(queries.shape[-1])
    return F.softmax(scaled @ keys.transpose(-1, -2), dim=-1)


class PatchAttention(nn.Module):
    """A block of attention, (B, channels, S, S) -> the same shape.

    H (B, N, width) holds the patches, embedded by a convolution whose kernel and stride are the patch. Q = H W_Q and
    K = H W_K have one number per node and head (graph), or width / heads (classic). Z = A · (H W_V), head by head. A
    transposed convolution of the same geometry turns Z back into a map, which is added to the input. It starts at zero
    (like the last scale of a residual branch in Goyal et al. 2017, arXiv 1706.02677), so a new block at first leaves a
    trained net's logits as they are.

    side_px: S. Raises ValueError as `check_geometry` does.
    """

    def __init__(self, kind: str, *, channels: int, side_px: int, patch: int, heads: int, width: int) -> None:
        super().__init__()
        check_geometry(side_px, patch=patch, heads=heads, width=width)
        each = 1 if kind == "graph" else width // heads
        self.attend = additive if kind == "graph" else bilinear
        self.heads = heads
        self.embed = nn.Conv2d(channels, width, patch, stride=patch)
        self.queries = nn.Linear(width, heads * each, bias=False)
        self.keys = nn.Linear(width, heads * each, bias=False)
        self.values = nn.Linear(width, width, bias=False)
        self.restore = nn.ConvTranspose2d(width, channels, patch, stride=patch)
        nn.init.zeros_(self.restore.weight)
        nn.init.zeros_(self.restore.bias)  # type: ignore[arg-type]

    def nodes(self, x: torch.Tensor) -> torch.Tensor:
        """Return H (B, N, width) for a map (B, C, S, S), its N patches row by row."""
        return self.embed(x).flatten(2).transpose(1, 2)

    def attention(self, nodes: torch.Tensor) -> torch.Tensor:
        """Return A (B, heads, N, N) for H (B, N, width); row i holds how much node i takes from each node."""
        return self.attend(self._by_head(self.queries(nodes)), self._by_head(self.keys(nodes)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            return self._added(x)
        nodes = (x.shape[-2] // self.embed.stride[0]) * (x.shape[-1] // self.embed.stride[1])
        batch_size = max(1, MAX_NUMBERS // (self.heads * nodes**2))  # batches of prediction are large
        return torch.cat([self._added(part) for part in x.split(batch_size)])

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
    """Raise ValueError where a map of `side_px` cannot be cut into whole patches, or the width into whole heads."""
    for name, value in (("patch", patch), ("heads", heads), ("width", width)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: got {value!r}, expected a whole number of at least 1")
    if side_px % patch:
        divisors = ", ".join(str(n) for n in range(1, side_px + 1) if side_px % n == 0)
        wrong = "larger than" if patch > side_px else "which does not divide"
        raise ValueError(f"patch: got {patch}, {wrong} the map of {side_px}x{side_px}, expected one of {divisors}")
    if width % heads:
        raise ValueError(f"heads: got {heads}, which does not divide the nodes' width {width}")


class Attentive(ABC):
    """The interface of a net with one block of attention: `attended` asks such a net where it attends."""

    attention: PatchAttention

    @abstractmethod
    def before_attention(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's input, (B, channels, S, S), for images (B, C, input_size, input_size)."""


@torch.no_grad()
def attended(net: Attentive, x: torch.Tensor) -> torch.Tensor:
    """Return how much each patch of images (B, C, S, S) is attended to, (B, rows, columns): the mean of A.

    The mean is over heads and nodes and sums to 1 over the patches; uniform attention is 1 / N everywhere.
    """
    features = net.before_attention(x)
    block = net.attention
    share = block.attention(block.nodes(features)).mean((1, 2))  # (B, heads, N, N) -> (B, N)
    return share.unflatten(1, (features.shape[-2] // block.embed.stride[0], -1))

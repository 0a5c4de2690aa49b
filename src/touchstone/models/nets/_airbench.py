"""The net of airbench94 (Jordan 2024, arXiv 2404.00498), on which several nets are built."""

import torch
from torch import nn
from torch.nn import functional as F

PATCH = 2
EPSILON = 5e-4  # added to the variances of patches, so that directions without any are not blown up
MOMENTUM = 0.4  # the share of the newest batch in the running statistics of batch norms
BIAS_FACTOR = 8
SCALE = 1 / 9  # of the features, so that logits start small


def from_images(net: nn.Module, images: torch.Tensor) -> None:
    """Set the whitening of a net to that of the patches of `images`, float32 (N, C, H, W), normalised.

    The columns of V / sqrt(v), for the eigenvectors V and eigenvalues v of the patches' covariance matrix, and then
    their negatives. The sign of an eigenvector is not determined, so its largest entry is made positive.
    """
    weight: torch.Tensor = net.get_submodule("whitening").get_buffer("weight")
    patches = F.unfold(images.contiguous(), PATCH).transpose(1, 2).flatten(0, 1).double()  # (N * places, C * 4)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    directions = (vectors * largest.sign() / (values + EPSILON).sqrt()).T.flip(0)  # the largest variance first
    weight.copy_(torch.cat([directions, -directions]).view(weight.shape))


class Airbench(nn.Module):
    def __init__(self, *, num_classes: int, in_channels: int, input_size: int, width: int) -> None:
        super().__init__()
        self.whitening, self.activation = Whitening(in_channels), nn.GELU()
        channels = 2 * in_channels * PATCH**2
        self.blocks = nn.Sequential(_block(channels, width), _block(width, 4 * width), _block(4 * width, 4 * width))
        self.pool = nn.Sequential(nn.MaxPool2d((input_size - 1) // 8), nn.Flatten())
        self.head = nn.Linear(4 * width, num_classes, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.activation(self.whitening(x)))  # (B, 4 * width, side, side), 3x3 at 32 px
        return self.head(SCALE * self.pool(x))


class Whitening(nn.Module):
    """A convolution of patches with fixed weights, and a bias that is trained."""

    weight: torch.Tensor

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        convolution = nn.Conv2d(in_channels, 2 * in_channels * PATCH**2, PATCH)
        self.register_buffer("weight", convolution.weight.detach())
        self.bias = nn.Parameter(torch.zeros(len(self.weight)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.weight, self.bias)


class Norm(nn.BatchNorm2d):
    """A batch norm with a shift but no scale.

    The shift is BIAS_FACTOR times a parameter, so that under SGD it learns at BIAS_FACTOR squared, 64, times the
    learning rate of other weights, as in the source.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-12, momentum=MOMENTUM, affine=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        statistics = self.running_mean, self.running_var
        shift = BIAS_FACTOR * self.bias
        scale = torch.ones_like(shift)  # CUDA's kernel gives a shift no gradient where there is no scale
        return F.batch_norm(x, *statistics, scale, shift, self.training, self._momentum(), self.eps)

    def _momentum(self) -> float:
        """The share of this batch in the running statistics: of equal parts where `update_bn` takes their mean."""
        if self.momentum is not None or not self.training:
            return MOMENTUM
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        return 1 / int(self.num_batches_tracked)


def _block(channels_in: int, channels_out: int) -> nn.Sequential:
    """Halve the sides: (B, channels_in, H, W) -> (B, channels_out, H // 2, W // 2)."""
    return nn.Sequential(
        _convolution(channels_in, channels_out),
        nn.MaxPool2d(2),
        Norm(channels_out),
        nn.GELU(),
        _convolution(channels_out, channels_out),
        Norm(channels_out),
        nn.GELU(),
    )


def _convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    """A convolution whose first outputs are its inputs at first."""
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    nn.init.dirac_(convolution.weight.data[:channels_in])
    return convolution

"""LeNet with batch normalisation (Ioffe & Szegedy 2015, arXiv 1502.03167) and LeakyReLU.

Source: the LeNet-variants study on CIFAR-10; otherwise as `lenet`, LeCun et al. 1998. The study does not state where
the batch norms are; here one follows each convolution and each hidden linear layer, before the LeakyReLU of slope .01.
Parameters: 62,458 at 32 px, 3 channels, 10 classes. Input: at least 16 px.
Published on CIFAR-10: .600 validation accuracy.
"""

from torch import nn

from touchstone.models.nets import check_size

LEAST_PX = 16
HEAD = "15"


def build(*, num_classes: int, in_channels: int, input_size: int) -> nn.Module:
    """Build the net, (B, in_channels, input_size, input_size) -> logits (B, num_classes)."""
    check_size("lenet_bn", input_size, least=LEAST_PX)
    side = ((input_size - 4) // 2 - 4) // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, 6, 5),
        nn.BatchNorm2d(6),
        nn.LeakyReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.BatchNorm2d(16),
        nn.LeakyReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),  # (B, 16 * side * side)
        *_hidden(16 * side * side, 120),
        *_hidden(120, 84),
        nn.Linear(84, num_classes),
    )


def _hidden(features_in: int, features_out: int) -> tuple[nn.Module, ...]:
    return nn.Linear(features_in, features_out), nn.BatchNorm1d(features_out), nn.LeakyReLU()

"""Net: six 3x3 convolutions in three blocks and three linear layers, with light dropout.

Source: the LeNet-variants study on CIFAR-10. Blocks (32, 64, pool), (128, 128, pool, Dropout2d .05), (256, 256, pool)
with batch norm after the first convolution of each, then Dropout .1, Linear 4096 -> 1024 -> 512 -> Dropout .1 ->
classes; ReLU follows every layer except the last.
Parameters: 5,852,170 at 32 px, 3 channels, 10 classes. Input: at least 8 px.
Published on CIFAR-10: .776 validation accuracy, .7854 test accuracy. Measured: .815 test accuracy trained as published,
.840 after 5 epochs on one cycle, 44 minutes on one core (recipes/cifar10_net).
"""

from collections import OrderedDict

from torch import nn

from touchstone.models.nets import check_size

LEAST_PX = 8  # pooled three times
HEAD = "classifier"


def build(*, num_classes: int, in_channels: int, input_size: int) -> nn.Module:
    """Build the net, (B, in_channels, input_size, input_size) -> logits (B, num_classes)."""
    check_size("net", input_size, least=LEAST_PX)
    side = input_size // 2 // 2 // 2
    features = nn.Sequential(
        _block(in_channels, 32, 64), _block(64, 128, 128), nn.Dropout2d(0.05), _block(128, 256, 256)
    )
    classifier = nn.Sequential(
        nn.Dropout(0.1),
        nn.Linear(256 * side * side, 1024),
        nn.ReLU(),
        nn.Linear(1024, 512),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(512, num_classes),
    )
    parts = {"features": features, "flatten": nn.Flatten(), "classifier": classifier}
    return nn.Sequential(OrderedDict(parts))


def _block(channels_in: int, width: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, channels_out, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )

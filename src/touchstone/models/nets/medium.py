"""Four blocks of Conv3x3-BN-ReLU-MaxPool and three linear layers with dropout: the transfer study's middle net.

Source: the study states the sequence, the channels 64, 128, 256, 512, an input of 64 px, Linear 8192 -> 1024 -> 512 ->
classes and Dropout .5. Our choice: the dropouts precede the second and the third linear layer, and the convolutions are
padded, which gives 512 x 4 x 4 = 8192 features at 64 px.
Parameters: 10,472,458 at 64 px, 3 channels, 10 classes. Input: at least 16 px.
Published: no accuracy with a source that can be checked.
"""

from collections import OrderedDict

from torch import nn

from touchstone.models.nets import check_size

LEAST_PX = 16  # pooled four times
HEAD = "classifier"


def build(*, num_classes: int, in_channels: int, input_size: int) -> nn.Module:
    """Build the net, (B, in_channels, input_size, input_size) -> logits (B, num_classes)."""
    check_size("medium", input_size, least=LEAST_PX)
    side = input_size // 2 // 2 // 2 // 2
    blocks = [_block(a, b) for a, b in ((in_channels, 64), (64, 128), (128, 256), (256, 512))]
    classifier = nn.Sequential(
        nn.Linear(512 * side * side, 1024),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(1024, 512),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(512, num_classes),
    )
    parts = {"features": nn.Sequential(*blocks), "flatten": nn.Flatten(), "classifier": classifier}
    return nn.Sequential(OrderedDict(parts))


def _block(channels_in: int, channels_out: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU(), nn.MaxPool2d(2))

"""Two blocks of Conv-ReLU-MaxPool without batch norm and a linear layer: the transfer study's simplest net.

Source: the study states the sequence, an input of 32 px and 128 features before the classifier. Our choice, which gives
these 128 features: 5x5 convolutions to 32 and 32 channels and pooling by 4, which leaves 32 x 2 x 2 at 32 px.
Parameters: 29,354 at 32 px, 3 channels, 10 classes. Input: at least 16 px.
Published: about 80 % accuracy on 10 classes.
"""

from torch import nn

from touchstone.models.nets import check_size

LEAST_PX = 16
HEAD = "7"


def build(*, num_classes: int, in_channels: int, input_size: int) -> nn.Module:
    """Build the net, (B, in_channels, input_size, input_size) -> logits (B, num_classes)."""
    check_size("simple", input_size, least=LEAST_PX)
    side = input_size // 4 // 4
    return nn.Sequential(
        nn.Conv2d(in_channels, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(4),
        nn.Conv2d(32, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(4),
        nn.Flatten(),  # (B, 32 * side * side)
        nn.Linear(32 * side * side, num_classes),
    )

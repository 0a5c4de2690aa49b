"""LeNet with 4x4 instead of 5x5 filters, which leave a larger map and so need a larger first linear layer.

Source: the LeNet-variants study on CIFAR-10; otherwise as `lenet`, LeCun et al. 1998.
Parameters: 60,980 at 32 px, 3 channels, 10 classes. Input: at least 13 px.
Published on CIFAR-10: .587 validation accuracy, .6364 test accuracy.
"""

from torch import nn

from touchstone.models.nets import check_size

LEAST_PX = 13  # (13 - 3) // 2 = 5, (5 - 3) // 2 = 1
HEAD = "11"


def build(*, num_classes: int, in_channels: int, input_size: int) -> nn.Module:
    """Build the net, (B, in_channels, input_size, input_size) -> logits (B, num_classes)."""
    check_size("lenet_4x4", input_size, least=LEAST_PX)
    side = ((input_size - 3) // 2 - 3) // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, 6, 4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),  # (B, 16 * side * side)
        nn.Linear(16 * side * side, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, num_classes),
    )

"""LeNet-5 in its usual modern form: two 5x5 convolutions with ReLU and max-pooling, then three linear layers.

Source: LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition". The widths 6,
16, 120, 84 are the original ones; ReLU and max-pooling replace the scaled tanh and the trainable averages.
Parameters: 62,006 at 32 px, 3 channels, 10 classes. Input: at least 16 px.
Published on CIFAR-10: .605 validation accuracy after 15 epochs of Adam at 1e-3. Measured: recipes/cifar10/report.md.
"""

from torch import nn

from touchstone.models.nets import check_size

LEAST_PX = 16
HEAD = "11"


def build(*, num_classes: int, in_channels: int, input_size: int) -> nn.Module:
    """Build the net, (B, in_channels, input_size, input_size) -> logits (B, num_classes)."""
    check_size("lenet", input_size, least=LEAST_PX)
    side = ((input_size - 4) // 2 - 4) // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),  # (B, 16 * side * side)
        nn.Linear(16 * side * side, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, num_classes),
    )

"""torchvision's MobileNetV2. The weights keep torchvision's names, so its ImageNet weights load.

Source: Sandler et al. 2018, arXiv 1801.04381. Head: torchvision's, Dropout .2 and a linear layer; or, with `hidden`,
the transfer study's head for 64 px: torchvision's Dropout .2 and, in place of its linear layer, Linear -> hidden, ReLU,
Dropout, Linear. Options: hidden (0 for none); dropout, the last one of the head; with hidden also input_dropout, the
first one (0 for none).
Parameters: 2,236,682 at 224 px, 3 channels, 10 classes; the same at any size. Input: at least 32 px.
Published in the transfer study on 10 classes: .8636 at 64 px, .8982 at 224 px. Measured on the 8 classes of scenes8
with 400 training images: .881 at 64 px, .935 trained at 160 and tested at 192 px, .921 trained at 224 and tested at 256
px, all without input_dropout; 3 minutes per seed at 160 px on one core (recipes/transfer_vote).
"""

from collections import OrderedDict

from torch import nn
from torchvision import models

from touchstone.errors import TouchstoneError
from touchstone.models.nets import check_size

LEAST_PX = 32  # strided five times
HEAD = "classifier"
HEAD_OPTIONS = ("hidden", "dropout", "input_dropout")
INPUT_DROPOUT = 0.2  # torchvision's, before the layers that the study put in


def build(
    *,
    num_classes: int,
    in_channels: int,
    input_size: int,
    hidden: int = 0,
    dropout: float = 0.2,
    input_dropout: float | None = None,
) -> nn.Module:
    """Build the net, (B, in_channels, input_size, input_size) -> logits (B, num_classes)."""
    check_size("mobilenet_v2", input_size, least=LEAST_PX)
    if input_dropout is not None and not hidden:
        raise TouchstoneError(
            "mobilenet_v2: option input_dropout: the head without hidden has one dropout; set dropout"
        )
    net = models.mobilenet_v2(num_classes=num_classes, dropout=dropout)
    if hidden:
        first = INPUT_DROPOUT if input_dropout is None else input_dropout
        net.classifier = _head(net.last_channel, hidden, num_classes, dropout=dropout, input_dropout=first)
    if in_channels != 3:
        net.features[0][0] = nn.Conv2d(in_channels, 32, 3, stride=2, padding=1, bias=False)
        nn.init.kaiming_normal_(net.features[0][0].weight, mode="fan_out")
    return net


def _head(features: int, hidden: int, num_classes: int, *, dropout: float, input_dropout: float) -> nn.Sequential:
    """Build the study's head, (B, features) -> (B, num_classes).

    The linear layers are 0 and 3, as in runs of heads without the first dropout, whose weights load.
    """
    layers = nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, num_classes)
    named: list[tuple[str, nn.Module]] = [(str(i), layer) for i, layer in enumerate(layers)]
    if input_dropout:
        named.insert(0, ("input_dropout", nn.Dropout(input_dropout)))
    return nn.Sequential(OrderedDict(named))


def imagenet() -> str:
    """Return torchvision's name of the weights trained on ImageNet."""
    return "MobileNet_V2_Weights.IMAGENET1K_V1"

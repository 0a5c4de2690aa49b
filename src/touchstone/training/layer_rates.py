"""Layer-wise learning rates: a block's rate is that of the block after it times `layer_decay`.

Howard & Ruder 2018, arXiv 1801.06146 (discriminative fine-tuning); Clark et al. 2020, arXiv 2003.10555 (layer-wise
decay).
"""

from itertools import accumulate, repeat
from operator import mul
from typing import Any

import torch
from torch import nn

from touchstone.config.schema.model import Phase
from touchstone.errors import TouchstoneError
from touchstone.models.blocks import blocks
from touchstone.models.freezing import HEAD
from touchstone.training.classifier import Classifier
from touchstone.training.optimizers import SCALE

Groups = list[nn.Parameter] | list[dict[str, Any]]


def parameter_groups(classifier: Classifier, phase: Phase, *, side_px: int) -> Groups:
    """Return the phase's trainable parameters: a list or, with `layer_decay` below 1, a group for each block.

    The first group is the head, at the phase's learning rate; the others follow from the last block to the first, each
    at `layer_decay` times the rate of the block after it. Frozen blocks count but have no group. Where the head is
    frozen, the last block that is trained has the phase's rate.

    side_px: the side of the net's input. Raises TouchstoneError where a single block is trained, unless the phase is
    for the head.
    """
    net = classifier.net
    parameters = [p for p in net.parameters() if p.requires_grad]
    if phase.layer_decay == 1 or phase.trainable == (HEAD,):
        return parameters
    images = torch.zeros(1, len(classifier.mean), side_px, side_px, device=classifier.device)
    ordered = blocks(net, head=classifier.head, images=images)
    trained = [[p for name in names if (p := net.get_parameter(name)).requires_grad] for names in ordered]
    first = next(i for i, block in enumerate(trained) if block)
    groups: list[dict[str, Any]] = [
        {"params": block, "lr": phase.rate * scale, SCALE: scale}
        for block, scale in zip(trained[first:], _scales(phase.layer_decay, len(trained) - first), strict=True)
        if block
    ]
    if len(groups) == 1:
        raise TouchstoneError(
            f"layer_decay: got {phase.layer_decay:g}, but trainable: {', '.join(phase.trainable)} trains one of the "
            f"net's {len(ordered)} blocks; set layer_decay to 1, or train more"
        )
    return groups


def _scales(decay: float, number: int) -> list[float]:
    """Return 1, decay, decay², ..., by multiplications, which give the same bits everywhere."""
    return list(accumulate(repeat(decay, number - 1), mul, initial=1.0))

"""Averaged weights: an exponential moving average of a net's parameters and buffers."""

from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


def averaged(net: nn.Module, *, decay: float) -> AveragedModel:
    """A copy of `net` that follows it with each `update_parameters(net)`; it is not trained and in evaluation mode.

    Over the first steps it is an average over what there is so far (as in TensorFlow's ExponentialMovingAverage with
    `num_updates`), later of about 1 / (1 - decay) steps: early weights are soon forgotten.
    """
    copy = AveragedModel(net, multi_avg_fn=_Follow(decay), use_buffers=True)
    copy.requires_grad_(False).eval()
    return copy


class _Follow:
    def __init__(self, decay: float) -> None:
        self.decay = decay

    def __call__(self, averaged: Any, current: Any, count: torch.Tensor | int) -> None:
        steps = int(count)
        share = 1 - min(self.decay, (1 + steps) / (10 + steps))
        if averaged and averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, share)
        else:
            for old, new in zip(averaged, current, strict=True):
                old.copy_(new)

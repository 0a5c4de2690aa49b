"""Averaged weights: an exponential moving average of a net's parameters and buffers, or the mean of its parameters."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_swa_multi_avg_fn, update_bn


def averaged(net: nn.Module, *, decay: float) -> AveragedModel:
    """A copy of `net` that follows it with each `update_parameters(net)`; it is not trained and in evaluation mode.

    Over the first steps it is an average over what there is so far (as in TensorFlow's ExponentialMovingAverage with
    `num_updates`), later of about 1 / (1 - decay) steps: early weights are soon forgotten.
    """
    copy = AveragedModel(net, multi_avg_fn=_Follow(decay), use_buffers=True)
    copy.requires_grad_(False).eval()
    return copy


def mean(net: nn.Module) -> AveragedModel:
    """A copy of `net`; with each `update_parameters(net)` it becomes the mean of the parameters at all such moments.

    Stochastic weight averaging, Izmailov et al. 2018, arXiv 1803.05407. Its batch norms know nothing of the mean's
    activations until `renew_statistics`.
    """
    copy = AveragedModel(net, multi_avg_fn=get_swa_multi_avg_fn())
    copy.requires_grad_(False).eval()
    return copy


def take_buffers(net: nn.Module, other: nn.Module) -> None:
    """Give `net` the buffers of `other`, such as the statistics of batch norms."""
    for mine, its in zip(net.buffers(), other.buffers(), strict=True):
        mine.copy_(its)


def renew_statistics(net: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Take the statistics of every batch norm anew, over `batches` of float32 (B, C, H, W)."""
    update_bn(batches, net)
    net.eval()


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

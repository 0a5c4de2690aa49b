"""Averaged weights: an exponential moving average of parameters and buffers, or the mean of parameters."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_swa_multi_avg_fn, update_bn


def averaged(net: nn.Module, *, decay: float) -> AveragedModel:
    """Return a moving average of `net` in evaluation mode, which `update_parameters(net)` updates after each step.

    At first it averages all steps so far (like TensorFlow's ExponentialMovingAverage with `num_updates`), later about
    1 / (1 - decay) of them, so early weights are soon forgotten.
    """
    copy = AveragedModel(net, multi_avg_fn=partial(_follow, decay), use_buffers=True)
    copy.requires_grad_(False).eval()
    return copy


def mean(net: nn.Module) -> AveragedModel:
    """Return a copy of `net` that averages its parameters over all calls of `update_parameters(net)`.

    Stochastic weight averaging, Izmailov et al. 2018, arXiv 1803.05407. The statistics of its batch norms do not fit
    the mean until `renew_statistics` is called.
    """
    copy = AveragedModel(net, multi_avg_fn=get_swa_multi_avg_fn())
    copy.requires_grad_(False).eval()
    return copy


def copy_buffers(*, to: nn.Module, source: nn.Module) -> None:
    """Copy buffers, such as the statistics of batch norms, between two nets of one architecture."""
    for target, buffer in zip(to.buffers(), source.buffers(), strict=True):
        target.copy_(buffer)


def renew_statistics(net: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Recompute the statistics of all batch norms over `batches` of float32 (B, C, H, W)."""
    update_bn(batches, net)
    net.eval()


def _follow(decay: float, averaged: Any, current: Any, count: torch.Tensor | int) -> None:
    steps = int(count)
    share = 1 - min(decay, (1 + steps) / (10 + steps))
    if averaged and averaged[0].is_floating_point():
        torch._foreach_lerp_(averaged, current, share)
    else:
        for old, new in zip(averaged, current, strict=True):
            old.copy_(new)

"""Averaged weights: an exponential moving average of parameters and buffers, or the mean of parameters."""

from collections.abc import Iterable, Iterator
from itertools import chain

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_swa_multi_avg_fn, update_bn


class MovingAverage(AveragedModel):
    """An exponential moving average of parameters and buffers, which counts its updates on the host.

    torch's own asks the device for the count several times an update, and each time waits until it has computed all.
    """

    def __init__(self, net: nn.Module, *, decay: float) -> None:
        super().__init__(net, use_buffers=True)
        self.decay, self.count = decay, -1  # -1: to be read from `n_averaged`, which is saved with the weights
        self.register_load_state_dict_post_hook(_read_count_again)

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        if self.count < 0:
            self.count = int(self.n_averaged)
        share = 1 - min(self.decay, (1 + self.count) / (10 + self.count)) if self.count else 1
        floats: tuple[list[torch.Tensor], list[torch.Tensor]] = [], []
        for old, new in zip(_values(self.module), _values(model), strict=True):
            if share < 1 and old.is_floating_point():
                floats[0].append(old)
                floats[1].append(new)
            else:
                old.copy_(new)
        if floats[0]:
            torch._foreach_lerp_(*floats, share)
        self.n_averaged += 1
        self.count += 1


def averaged(net: nn.Module, *, decay: float) -> AveragedModel:
    """Return a moving average of `net` in evaluation mode, which `update_parameters(net)` updates after each step.

    At first it averages all steps so far (like TensorFlow's ExponentialMovingAverage with `num_updates`), later about
    1 / (1 - decay) of them, so early weights are soon forgotten.
    """
    copy = MovingAverage(net, decay=decay)
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


def _values(net: nn.Module) -> Iterator[torch.Tensor]:
    return (value.detach() for value in chain(net.parameters(), net.buffers()))


def _read_count_again(average: MovingAverage, _: object) -> None:
    average.count = -1

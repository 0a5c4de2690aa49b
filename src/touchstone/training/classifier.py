"""The classifier that is trained: the net behind its normalisation, and the averaged weights that may be judged."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from touchstone.freezing import train_mode
from touchstone.loaders import to_float
from touchstone.predict import with_flips


class Classifier(nn.Module):
    """A net (B, C, H, W) -> logits (B, K), behind its normalisation.

    head: the name of the net's last module. mean, std: of each channel in grey levels. averaged: a copy of the net
    whose weights are a mean of the net's, `judges_mean`: whether they are those that are validated and kept.
    test_flips: judge by the mean over mirror images.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        net: nn.Module,
        *,
        head: str,
        mean: list[float],
        std: list[float],
        test_flips: bool = False,
    ) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)
        self.averaged: AveragedModel | None = None
        self.judges_mean = False
        self.head, self.test_flips = head, test_flips
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    @property
    def device(self) -> torch.device:
        return self.mean.device

    @property
    def judged(self) -> nn.Module:
        """The net whose weights are validated and kept."""
        return self.averaged.module if self.averaged is not None and self.judges_mean else self.net

    def train(self, mode: bool = True) -> "Classifier":
        """Training mode for what is trained; what is frozen and what is averaged stay in evaluation mode."""
        super().train(mode)
        if mode:
            train_mode(self.net, head=self.head)
            if self.averaged is not None:
                self.averaged.eval()
        return self

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """uint8 (B, H, W, C), or features float32 (B, D) -> logits (B, K)."""
        net = self.net if self.training else self.judged
        if batch.is_floating_point():
            return net.get_submodule(self.head)(batch)
        x = self.normalised(batch)
        return with_flips(net, x) if self.test_flips and not self.training else net(x)

    def normalised(self, batch: torch.Tensor) -> torch.Tensor:
        """uint8 (B, H, W, C) -> float32 (B, C, H, W)."""
        return to_float(batch, self.mean, self.std)

"""The classifier that is trained: the net behind its normalisation, and the averaged weights that may be judged."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from touchstone.data.batches import to_float
from touchstone.data.ops import crops
from touchstone.models.freezing import train_mode
from touchstone.models.predict import answers


class Classifier(nn.Module):
    """A net (B, C, H, W) -> logits (B, K), behind its normalisation.

    head: the name of the net's last module. mean, std: of each channel in grey levels. averaged: a copy of the net
    whose weights are a mean of the net's, `judges_mean`: whether they are those that are validated and kept.
    test_flips: judge by the mean over mirror images. multi_label: logits are of a class each, not of one among them.
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
        multi_label: bool = False,
    ) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)
        self.averaged: AveragedModel | None = None
        self.judges_mean = False
        self.head, self.test_flips, self.multi_label = head, test_flips, multi_label
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
        """uint8 (B, H, W, C), or features float32 (B, D) -> logits (B, K).

        Of five crops, uint8 (B, 5, H, W, C) or float32 (B, 5, D), each class has the highest logit.
        """
        net, num_crops = self.net if self.training else self.judged, crops.count(batch)
        if batch.is_floating_point():
            return crops.most(net.get_submodule(self.head)(crops.flat(batch)), num_crops)
        flips = self.test_flips and not self.training
        x = self.normalised(batch)
        return answers(net, x, num_crops=num_crops, flips=flips, multi_label=self.multi_label)

    def normalised(self, batch: torch.Tensor) -> torch.Tensor:
        """uint8 (B, H, W, C) -> float32 (B, C, H, W); of five crops (B * 5, C, H, W)."""
        return to_float(batch, self.mean, self.std)

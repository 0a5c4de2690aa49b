"""The classifier as a LightningModule: the net, its loss, optimizer and schedule."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F

from touchstone.loaders import to_float
from touchstone.sections import Model

Optimizers = dict[str, Any]


class Classifier(pl.LightningModule):
    """A net (B, C, H, W) -> logits (B, K) and how to train it for `num_steps` steps.

    mean, std: of each channel in grey levels. `resume`: the `state()` of an earlier process, taken up whole.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, net: nn.Module, *, settings: Model, num_steps: int, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)
        self.settings, self.num_steps = settings, num_steps
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])
        self.resume: Optimizers | None = None

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (B, H, W, C) -> logits (B, K)."""
        return self.net(to_float(pixels, self.mean, self.std))

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        pixels, labels = batch
        return F.cross_entropy(self(pixels), labels)

    def configure_optimizers(self) -> Any:
        optimizer = _optimizer(self.net, self.settings)
        schedule = _schedule(optimizer, self.settings, self.num_steps)
        if self.resume is not None:
            optimizer.load_state_dict(self.resume["optimizer"])
            schedule.load_state_dict(self.resume["schedule"])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def state(self) -> Optimizers:
        """Net, optimizer and schedule, as plain values and tensors."""
        schedule: Any = self.lr_schedulers()
        return {
            "net": self.net.state_dict(),
            "optimizer": self.trainer.optimizers[0].state_dict(),
            "schedule": schedule.state_dict(),
        }

    def restore(self, state: Optimizers) -> None:
        """Take up `state()`: the net at once, optimizer and schedule when they are made."""
        self.net.load_state_dict(state["net"])
        self.resume = state


def _optimizer(net: nn.Module, s: Model) -> torch.optim.Optimizer:
    """Fused: one kernel for all parameters instead of several for each."""
    if s.optimizer == "sgd":
        return torch.optim.SGD(net.parameters(), s.lr, momentum=s.momentum, weight_decay=s.weight_decay, fused=True)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[s.optimizer]
    return kind(net.parameters(), s.lr, weight_decay=s.weight_decay, fused=True)


def _schedule(optimizer: torch.optim.Optimizer, s: Model, num_steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    if s.schedule == "one_cycle":  # Smith & Topin 2017, arXiv 1708.07120; cycles momentum, too
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=s.lr, total_steps=max(2, num_steps))
    if s.schedule == "cosine":  # Loshchilov & Hutter 2016, arXiv 1608.03983
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_steps)
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=1)

"""The classifier as a LightningModule: the net, its loss and, phase by phase, its optimizer and schedule."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F

from touchstone.averaging import averaged
from touchstone.freezing import freeze, train_mode
from touchstone.loaders import to_float
from touchstone.model_sections import Phase
from touchstone.predict import with_flips

Optimizers = dict[str, Any]


class Classifier(pl.LightningModule):
    """A net (B, C, H, W) -> logits (B, K) and how to train it.

    head: the name of the net's last module. mean, std: of each channel in grey levels. ema_decay: the weights that are
    judged and kept follow those that are trained; 0: they are those. test_flips: judge by the mean over mirror images.
    `resume`: the `state()` of an earlier process, taken up whole.
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
        ema_decay: float = 0.0,
        test_flips: bool = False,
    ) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)
        self.averaged = averaged(self.net, decay=ema_decay) if ema_decay else None
        self.head, self.test_flips = head, test_flips
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])
        self.resume: Optimizers | None = None

    def enter(self, phase: Phase, *, num_steps: int, steps_per_epoch: float) -> None:
        """Train from now on as `phase` says, for `num_steps`; optimizer and schedule start anew.

        Raises TouchstoneError on a module that the net has not.
        """
        self.phase, self.num_steps, self.steps_per_epoch = phase, num_steps, steps_per_epoch
        freeze(self.net, phase, head=self.head)

    @property
    def judged(self) -> nn.Module:
        """The net whose weights are validated and kept."""
        return self.net if self.averaged is None else self.averaged.module

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
        x = to_float(batch, self.mean, self.std)
        return with_flips(net, x) if self.test_flips and not self.training else net(x)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        inputs, labels = batch
        return F.cross_entropy(self(inputs), labels)

    def follow(self) -> None:
        """Let the averaged weights follow; to be called after each step, before anything is judged or saved."""
        if self.averaged is not None:
            self.averaged.update_parameters(self.net)

    def configure_optimizers(self) -> Any:
        optimizer = _optimizer([p for p in self.net.parameters() if p.requires_grad], self.phase)
        schedule = _schedule(optimizer, self.phase, self.num_steps, self.steps_per_epoch)
        if self.resume is not None:
            optimizer.load_state_dict(self.resume["optimizer"])
            schedule.load_state_dict(self.resume["schedule"])
            self.resume = None
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def state(self) -> Optimizers:
        """Nets, optimizer and schedule, as plain values and tensors."""
        schedule: Any = self.lr_schedulers()
        return {
            "net": self.net.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "optimizer": self.trainer.optimizers[0].state_dict(),
            "schedule": schedule.state_dict(),
        }

    def restore(self, state: Optimizers) -> None:
        """Take up `state()`: the nets at once, optimizer and schedule when they are made."""
        self.net.load_state_dict(state["net"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        self.resume = state


def _optimizer(parameters: list[nn.Parameter], s: Phase) -> torch.optim.Optimizer:
    """Fused: one kernel for all parameters instead of several for each."""
    if s.optimizer == "sgd":
        return torch.optim.SGD(parameters, s.lr, momentum=s.momentum, weight_decay=s.weight_decay, fused=True)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[s.optimizer]
    return kind(parameters, s.lr, weight_decay=s.weight_decay, fused=True)


def _schedule(
    optimizer: torch.optim.Optimizer, s: Phase, num_steps: int, steps_per_epoch: float
) -> torch.optim.lr_scheduler.LRScheduler:
    if s.schedule == "one_cycle":  # Smith & Topin 2017, arXiv 1708.07120; cycles momentum, too
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=s.lr, total_steps=max(2, num_steps))
    if s.schedule == "cosine":  # Loshchilov & Hutter 2016, arXiv 1608.03983
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_steps)
    if s.schedule == "step":
        every = max(1, round(s.decay_epochs * steps_per_epoch))
        return torch.optim.lr_scheduler.StepLR(optimizer, step_size=every, gamma=s.decay)
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=1)

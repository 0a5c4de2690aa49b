"""The interface of all generators: a LightningModule with averaged weights, which fit.py fits and sample.py samples.

Inside a generator images are float32 in [-1, 1], outside uint8 or uint16.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

from touchstone.config.schema.generator import Sample
from touchstone.data.batches import to_float
from touchstone.data.levels import dtype_of, white
from touchstone.models.averaging import averaged
from touchstone.training.shard import Shard

State = dict[str, Any]
Streams = Sequence[np.random.Generator]  # of noise, one per image, drawn on the CPU: the same on every device


class Generative(pl.LightningModule):
    """A generator: `net` is fitted, and `averaged`, its exponential moving average, is sampled.

    A kind adds `training_step`, `configure_optimizers`, `sample` and `preview`. A step gets the pixels that its process
    sees and the labels of the whole batch, see `own`.
    """

    grey: torch.Tensor
    bits: int = 8
    """Of the pixels that it makes."""

    def __init__(self, net: nn.Module, *, ema_decay: float) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)
        self.averaged = averaged(self.net, decay=ema_decay)
        self.register_buffer("grey", torch.tensor([[[127.5]]]), persistent=False)
        self.resume: State | None = None
        self.shard: Shard | None = None  # the rows of each batch that this process sees; None for all of them

    @property
    def is_fitted(self) -> bool:
        """Whether there are weights to fit."""
        return True

    def sample(self, labels: torch.Tensor, streams: Streams, settings: Sample) -> torch.Tensor:
        """Sample images, pixels (B, H, W, C), of the classes int64 (B,), each from its own stream of noise."""
        raise NotImplementedError

    def sample_from(
        self, sources: np.ndarray, labels: torch.Tensor, streams: Streams, settings: Sample
    ) -> torch.Tensor:
        """Sample like `sample`, each image from a training image of its class, uint8 (B, H, W, C)."""
        raise NotImplementedError

    def preview(self, labels: torch.Tensor, streams: Streams) -> torch.Tensor:
        """Sample like `sample`, with the settings of the sheets drawn during fitting."""
        raise NotImplementedError

    def stuck(self, history: list[dict[str, float]]) -> str:
        """Return why fitting makes no more progress, judged by the losses so far, or ""."""
        return ""

    def own(self, whole: torch.Tensor) -> torch.Tensor:
        """Return the rows of a whole batch that this process sees."""
        return whole if self.shard is None else whole[self.shard.rows(len(whole))]

    def reseed(self) -> None:
        """Let this process draw random numbers of its own for the rest of the step, where others see other images."""
        if self.shard is not None:
            self.shard.reseed()

    def normal_like(self, signals: torch.Tensor, count: int) -> torch.Tensor:
        """Draw noise for the images that this process sees (b, C, H, W), the same as for a batch of all `count`."""
        if self.shard is None:
            return torch.randn_like(signals)
        whole = signals.new_empty((count, *signals.shape[1:])).to(memory_format=torch.channels_last)
        return self.own(torch.randn_like(whole))

    def signals(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels (B, H, W, C) -> float32 (B, C, H, W) in [-1, 1]."""
        grey = self.grey.expand(pixels.shape[3], 1, 1)
        return to_float(pixels, grey, grey)

    def pixels(self, signals: torch.Tensor) -> torch.Tensor:
        """float32 (B, C, H, W) -> uint8 or uint16 (B, H, W, C) on the CPU, clipped."""
        most = white(dtype_of(self.bits))
        values = ((signals.float() + 1) * (most / 2)).round().clamp(0, most)
        return values.to(torch.uint8 if self.bits == 8 else torch.uint16).permute(0, 2, 3, 1).contiguous().cpu()

    def configured(self, optimizers: list[torch.optim.Optimizer], schedules: list[Any]) -> Any:
        """Return the value of `configure_optimizers`, its parts in the state that an earlier process left."""
        if self.resume is not None:
            for part, state in zip([*optimizers, *schedules], self.resume["steppers"], strict=True):
                part.load_state_dict(state)
        return optimizers, [{"scheduler": schedule, "interval": "step"} for schedule in schedules]

    def state(self) -> State:
        """Return nets, averages, optimizers and schedules as plain values and tensors."""
        schedules: list[Any] = [entry.scheduler for entry in self.trainer.lr_scheduler_configs]
        steppers = [part.state_dict() for part in (*self.trainer.optimizers, *schedules)]
        return {"module": self.state_dict(), "steppers": steppers}

    def restore(self, state: State) -> None:
        """Restore `state()`: the nets now, optimizers and schedules in `configured`."""
        self.load_state_dict(state["module"])
        self.resume = state

    def weights(self) -> dict[str, torch.Tensor]:
        """Return a copy of the averaged weights on the CPU, which sampling needs and nothing else."""
        tensors = self.averaged.module.state_dict()
        return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}

    def load_weights(self, weights: dict[str, torch.Tensor]) -> None:
        """Load `weights()`. Raises RuntimeError where they belong to another net."""
        self.averaged.module.load_state_dict(weights)


def noise(streams: Streams, *shape: int) -> torch.Tensor:
    """Draw standard normal float32 (B, *shape), image i from stream i."""
    return torch.from_numpy(np.stack([stream.standard_normal(shape, np.float32) for stream in streams]))

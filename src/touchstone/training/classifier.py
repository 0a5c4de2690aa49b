"""The classifier that is trained: a net behind its normalisation, and an average of its weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from touchstone.data.batches import to_float
from touchstone.data.imageset import valid_sizes
from touchstone.data.ops import crops
from touchstone.models import averaging, nets
from touchstone.models.freezing import train_mode
from touchstone.models.predict import forward_tta, over_crops
from touchstone.seeds import derive
from touchstone.training.setup import TrainingRun

Weights = dict[str, torch.Tensor]
SHOWN = 5000  # training images, from which a net may set initial weights


class Classifier(nn.Module):
    """A net (B, C, H, W) -> logits (B, K), behind its normalisation.

    head: the name of the net's last module. mean, std: per channel, in grey levels (0 to 255). averaged: a copy of the
    net with averaged weights. judges_average: whether these are validated and kept. test_flips: in evaluation, predict
    the mean over an image and its mirror image. test_shift: and over moves by so many px, see `forward_tta`.
    mean_crops: whether the crops of an image are averaged; otherwise the highest logit of each class counts.
    multi_label: whether each class has a probability of its own.
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
        averaged: AveragedModel | None = None,
        judges_average: bool = False,
        test_flips: bool = False,
        test_shift: int = 0,
        mean_crops: bool = False,
        multi_label: bool = False,
    ) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)
        self.averaged, self.judges_average = averaged, judges_average
        self.head, self.mean_crops, self.multi_label = head, mean_crops, multi_label
        self.test_flips, self.test_shift = test_flips, test_shift
        self.compiled: Callable[[torch.Tensor], torch.Tensor] | None = None
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    @property
    def device(self) -> torch.device:
        return self.mean.device

    @property
    def judged(self) -> nn.Module:
        """The net whose weights are validated and kept."""
        return self.averaged.module if self.averaged is not None and self.judges_average else self.net

    @property
    def trained(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """The net in training: float32 (B, C, H, W) -> logits (B, K), compiled where `compile_steps` was called."""
        return self.compiled or self.net

    def compile_steps(self) -> None:
        """Let torch.compile translate the steps that follow; validation keeps the plain net.

        What was compiled before is forgotten, so that a phase gives the same bytes in a process that begins with it.
        """
        torch._dynamo.reset()

        def forward(x: torch.Tensor) -> torch.Tensor:
            return self.net(x)

        self.compiled = torch.compile(forward, dynamic=False)

    def judged_weights(self) -> Weights:
        """Return a copy of the weights of `judged`, contiguous and on the CPU."""
        return {name: value.detach().cpu().contiguous().clone() for name, value in self.judged.state_dict().items()}

    def train(self, mode: bool = True) -> "Classifier":
        """Set training mode; frozen modules and the averaged net stay in evaluation mode."""
        super().train(mode)
        if mode:
            train_mode(self.net, head=self.head)
            if self.averaged is not None:
                self.averaged.eval()
        return self

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Pixels (B, H, W, C), uint8 or uint16, or features float32 (B, D) -> logits (B, K).

        With V crops, (B, V, H, W, C) or float32 (B, V, D), the logits are those of `over_crops`.
        """
        net, num_crops = self.trained if self.training else self.judged, crops.count(batch)
        how: Any = {"num_crops": num_crops, "mean": self.mean_crops, "multi_label": self.multi_label}
        if batch.is_floating_point():
            whole = self.net if self.training else self.judged
            return over_crops(whole.get_submodule(self.head)(crops.flat(batch)), **how)
        flips, shift = (False, 0) if self.training else (self.test_flips, self.test_shift)
        return forward_tta(net, self.normalised(batch), flips=flips, shift=shift, **how)

    def normalised(self, batch: torch.Tensor) -> torch.Tensor:
        """Pixels (B, H, W, C) -> float32 (B, C, H, W); V crops become (B * V, C, H, W)."""
        return to_float(batch, self.mean, self.std)

    def checkpoint(self) -> dict[str, Any]:
        """Return what `restore` needs, as plain values and tensors."""
        return {"tensors": self.state_dict(), "judges_average": self.judges_average}

    def restore(self, checkpoint: dict[str, Any]) -> None:
        self.load_state_dict(checkpoint["tensors"])
        self.judges_average = checkpoint["judges_average"]


def build_classifier(run: TrainingRun, seed: int) -> Classifier:
    """Build a classifier with a seed's initial weights. Raises TouchstoneError where these do not fit the net."""
    settings = run.settings
    torch.manual_seed(derive(seed, "init"))  # the same weights for every arm
    net = nets.build(
        settings.net,
        num_classes=len(run.classes),
        in_channels=run.data.parts[0].shape[3],
        input_size=settings.input_size,
        options=settings.options,
    )
    if nets.takes_images(settings.net):
        nets.from_images(settings.net, net, _first_images(run))
    run.initial.load_into(net, seed=seed, net_name=settings.net)
    net = net.to(memory_format=torch.channels_last)
    averaged = None
    if settings.ema_decay:
        averaged = averaging.averaged(net, decay=settings.ema_decay)
    elif settings.swa_share:
        averaged = averaging.mean(net)
    return Classifier(
        net,
        head=nets.head_of(settings.net),
        mean=run.mean,
        std=run.std,
        averaged=averaged,
        judges_average=bool(settings.ema_decay),  # the mean of stochastic weight averaging is judged at its end
        test_flips=settings.test_flips,
        test_shift=settings.test_shift,
        mean_crops=run.test_view.cuts_windows,
        multi_label=run.multi_label,
    )


def _first_images(run: TrainingRun) -> torch.Tensor:
    """Return the first SHOWN training images, normalised, float32 (N, C, H, W), without augmentation.

    They are real ones, which come first, unless the arm has fewer.
    """
    rows = np.arange(min(SHOWN, run.data.num_real or len(run.data)))
    sizes = valid_sizes(run.data.table)
    pixels = run.view.seen(run.data.gather(rows), None if sizes is None else sizes[rows])
    mean, std = (torch.tensor(values)[:, None, None] for values in (run.mean, run.std))
    return to_float(pixels, mean, std)

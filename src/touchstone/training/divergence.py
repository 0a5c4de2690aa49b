"""Recognises divergence and reports it."""

import math
from dataclasses import dataclass

import torch

from touchstone.config.schema.model import Phase

EXPLODED = 20.0  # times the loss of equal probabilities
CHANCE = 0.98  # nothing is learned in an epoch whose loss is at least this share of the chance loss
LEARNED = 0.9  # something was learned in an epoch whose loss is below this share of the chance loss
SAME = 1e-6  # the largest relative difference of logits that count as the same
MIN_STEPS = 200  # the least length of a collapse, as the epochs of a small training set are short


@dataclass(frozen=True)
class Divergence:
    """The step at which the training of a seed was stopped, and the reason."""

    step: int
    epoch: float  # may be a fraction
    loss: float  # the mean since the last check, in nats
    lr: float  # of the last update
    reason: str
    advice: str

    def __str__(self) -> str:
        return (
            f"diverged after {self.epoch:.1f} epochs, at step {self.step}: {self.reason} "
            f"(loss {self.loss:.6g}, lr {self.lr:.3g}); {self.advice}"
        )


@dataclass(frozen=True)
class DivergenceMonitor:
    """Judges training by its loss, and by whether predictions depend on the images at all.

    uniform_loss, collapse_text, chance_loss: as an objective has them. collapse_epochs: the number of collapsed epochs
    that count as divergence, or 0 to ignore them.
    """

    uniform_loss: float
    collapse_text: str
    chance_loss: float
    collapse_epochs: int
    steps_per_epoch: float

    def check(self, *, loss: float, epoch_loss: float | None, collapsed_steps: int) -> str:
        """Return why training has diverged, or "".

        loss: the mean since the last check. epoch_loss: the mean over the epoch, at its end. collapsed_steps: the
        number of steps in the latest consecutive epochs that `is_collapsed`.
        """
        if not math.isfinite(loss):
            return "the training loss is not finite"
        if epoch_loss is not None and epoch_loss > EXPLODED * self.uniform_loss:
            return f"the training loss is more than {EXPLODED:g} times that of equal probabilities"
        min_steps = max(MIN_STEPS, self.collapse_epochs * self.steps_per_epoch)
        if self.collapse_epochs and self.collapse_text and collapsed_steps >= round(min_steps):
            alike = f"all images of an epoch's last batch were predicted {self.collapse_text}"
            return f"for {collapsed_steps} steps {alike}"
        return ""

    def is_collapsed(self, logits: torch.Tensor, predicted: torch.Tensor, *, loss: float, lowest: float) -> bool:
        """Whether the net ignored its input in an epoch.

        It did if the epoch's mean loss was that of chance, all predictions for its last batch were the same, and either
        so were the logits, or something had been learned before: a net that starts slowly has not collapsed. A sound
        net may predict a single class for imbalanced images, but its loss is lower.

        logits, predicted: (B, K) and (B, ...), of the epoch's last batch. lowest: the lowest loss of an earlier epoch.
        """
        if bool((predicted != predicted[0]).any()) or len(logits) == 1 or loss < CHANCE * self.chance_loss:
            return False
        spread = (logits.amax(0) - logits.amin(0)).amax() / logits.abs().amax().clamp(min=1e-30)
        return float(spread) <= SAME or lowest < LEARNED * self.chance_loss


def advice(phase: Phase) -> str:
    """Say what to change in a phase that diverged."""
    parts = [f"lower lr from {phase.rate:.3g} to {phase.rate / 10:.2g}"]
    if not (phase.clip_norm or phase.clip_value):
        parts.append("clip gradients (clip_norm)")
    if not phase.warmup_epochs and phase.schedule != "one_cycle":
        parts.append("warm up (warmup_epochs)")
    return ", ".join(parts)

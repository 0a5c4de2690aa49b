"""Training that no longer gets anywhere: how it is recognised, and how it is reported."""

import math
from dataclasses import dataclass

import torch

EXPLODED = 20.0  # times the loss of equal probabilities
CHANCE = 0.98  # an epoch's loss of at least this share of the chance loss: nothing is learned
LEARNED = 0.9  # an epoch's loss below this share of the chance loss: something was learned
SAME = 1e-6  # relative difference up to which logits are the same
MIN_STEPS = 200  # a collapse lasts at least so long, as the epochs of a small training set are short


@dataclass(frozen=True)
class Divergence:
    """Where and why the training of a seed was stopped."""

    step: int
    epoch: float
    """The number of passes over the training images, with a fraction."""
    loss: float
    """The mean training loss since the check before, in nats."""
    lr: float
    """The learning rate of the last update."""
    reason: str
    advice: str

    def __str__(self) -> str:
        return (
            f"diverged after {self.epoch:.1f} epochs, at step {self.step}: {self.reason} "
            f"(loss {self.loss:.6g}, lr {self.lr:.3g}); {self.advice}"
        )


@dataclass(frozen=True)
class DivergenceMonitor:
    """Judges training by its loss, and by whether predictions depend on the images at all."""

    uniform_loss: float
    """The loss of equal probabilities, in nats."""
    collapse_text: str
    """How a message puts it that all predictions are the same; "" where that is no sign of divergence."""
    chance_loss: float
    """The lowest loss of a net that answers every image alike, in nats."""
    collapse_epochs: int
    """The number of collapsed epochs that count as divergence; 0 for none."""
    steps_per_epoch: float

    def check(self, *, loss: float, epoch_loss: float | None, collapsed_steps: int) -> str:
        """Return why training has diverged, or "".

        loss: the mean over the steps since the check before. epoch_loss: the mean over the epoch, at its end.
        collapsed_steps: the length of the latest epochs, one after the other, that `is_collapsed`.
        """
        if not math.isfinite(loss):
            return "the training loss is not finite"
        if epoch_loss is not None and epoch_loss > EXPLODED * self.uniform_loss:
            return f"the training loss is more than {EXPLODED:g} times that of equal probabilities"
        min_steps = max(MIN_STEPS, self.collapse_epochs * self.steps_per_epoch)
        if self.collapse_epochs and self.collapse_text and collapsed_steps >= round(min_steps):
            return (
                f"for {collapsed_steps} steps all images of an epoch's last batch were predicted {self.collapse_text}"
            )
        return ""

    def is_collapsed(self, logits: torch.Tensor, predicted: torch.Tensor, *, loss: float, lowest: float) -> bool:
        """Whether the net ignored its input in an epoch.

        It did if the epoch's mean loss was that of chance, its last batch was predicted alike, and either the batch's
        logits were the same, or something had been learned before. A net that starts slowly has not collapsed, and a
        sound net may predict one class of imbalanced images, but its loss is lower.

        logits, predicted: (B, K) and (B, ...), of the epoch's last batch. lowest: the lowest loss of an earlier epoch.
        """
        if bool((predicted != predicted[0]).any()) or len(logits) == 1 or loss < CHANCE * self.chance_loss:
            return False
        spread = (logits.amax(0) - logits.amin(0)).amax() / logits.abs().amax().clamp(min=1e-30)
        return float(spread) <= SAME or lowest < LEARNED * self.chance_loss


def advice(lr: float, *, clips: bool, warms_up: bool) -> str:
    """What to change. lr: the highest of the schedule."""
    more = [] if clips else ["clip gradients (clip_norm)"]
    more += [] if warms_up else ["warm up (warmup_epochs)"]
    return ", ".join([f"lower lr from {lr:.3g} to {lr / 10:.2g}, say, or set it to auto", *more])

"""Training that leads nowhere any more, recognised and named."""

import math
from dataclasses import dataclass

EXPLODED = 20.0  # times the loss of equal probabilities
CHANCE = 0.98  # of the lowest loss that one answer for all images can have, and above: nothing is learned
LEARNED = 0.9  # of it, and below: something was learned
SAME = 1e-6  # relative difference of logits up to which they are the same
MIN_STEPS = 200  # over which a net is deaf, at least: a small set's epochs are short


@dataclass(frozen=True)
class Divergence:
    """Where and why a seed's training was stopped. epoch: passes done. loss: the mean since the last look, in nats.

    lr: that of the last update. reason and advice: for people.
    """

    step: int
    epoch: float
    loss: float
    lr: float
    reason: str
    advice: str

    def __str__(self) -> str:
        return (
            f"diverged after {self.epoch:.1f} epochs, at step {self.step}: {self.reason} "
            f"(loss {self.loss:.6g}, lr {self.lr:.3g}); {self.advice}"
        )


@dataclass(frozen=True)
class Watch:
    """Judges a training by its loss, and by whether the net answers to its input.

    equal: the loss of equal probabilities. alike: how predictions that are all the same are told, "" where that says
    nothing. chance: the lowest loss of one answer for all (`Objective.chance`). collapse_epochs: so long must a net be
    deaf; 0: that is no divergence.
    """

    equal: float
    alike: str
    chance: float
    collapse_epochs: int
    steps_per_epoch: float

    def look(self, *, loss: float, epoch_loss: float | None, collapsed_steps: int) -> str:
        """Why training has diverged, or "".

        loss: the mean over the last steps; epoch_loss: over the epoch, at its end. collapsed_steps: for how many steps
        in a row, over whole epochs, the net was deaf to its input.
        """
        if not math.isfinite(loss):
            return "the training loss is not finite"
        if epoch_loss is not None and epoch_loss > EXPLODED * self.equal:
            return f"the training loss is more than {EXPLODED:g} times that of equal probabilities"
        needed = max(MIN_STEPS, self.collapse_epochs * self.steps_per_epoch)
        if self.collapse_epochs and self.alike and collapsed_steps >= round(needed):
            return f"for {collapsed_steps} steps all images of an epoch's last batch were predicted {self.alike}"
        return ""

    def is_deaf(self, *, loss: float, lowest: float, varied: bool, spread: float, batch_size: int) -> bool:
        """Whether the net did not answer to its input in an epoch.

        Its loss was that of chance, the images of its last batch were all predicted alike, and either logits were the
        same for all of them, or something had been learned before. loss, lowest: the epoch's, and the lowest of an
        epoch before. varied: whether predictions of the batch differed; spread: how much its logits differed at most,
        relative to the largest one. A net that starts slowly is not deaf; of imbalanced images a sound net may predict
        one class, but its loss is lower.
        """
        if varied or batch_size == 1 or loss < CHANCE * self.chance:
            return False
        return spread <= SAME or lowest < LEARNED * self.chance


def advice(lr: float, *, clips: bool, warms_up: bool) -> str:
    """What to change; lr: the highest of the schedule."""
    more = [] if clips else ["clip gradients (clip_norm)"]
    more += [] if warms_up else ["warm up (warmup_epochs)"]
    return ", ".join([f"lower lr from {lr:.3g} to {lr / 10:.2g}, say, or set it to auto", *more])

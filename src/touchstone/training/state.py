"""What one seed's training remembers: of its phase, and of all it has done."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from touchstone.training.classifier import Classifier, Weights
from touchstone.training.divergence import Divergence
from touchstone.training.objective import Mixing
from touchstone.training.resumable import LoopState
from touchstone.training.schedules import Plateau, Schedule
from touchstone.training.setup import ScheduledPhase, TrainingRun

Row = dict[str, float]
"""A row of the history: step, epoch, train_loss, lr and, with validation images, the objective's measures."""

Batch = tuple[torch.Tensor, torch.Tensor]
"""Pixels uint8 (B, P, P, C), with five crops (B, 5, P, P, C), or features float32 (B, D) or (B, 5, D); and labels,
int64 (B,) or float32 (B, K)."""


@dataclass
class PhaseState:
    """What the steps of one phase work with; `begin_phase` makes it, and the next phase has another."""

    run: TrainingRun
    scheduled: ScheduledPhase
    classifier: Classifier
    parameters: list[nn.Parameter]
    """The weights that the phase trains."""
    class_weights: torch.Tensor | None
    """float32 in the form that the objective's loss takes; None weighs all classes the same."""
    mix: Mixing | None
    """Mixes the images of a batch with one another; None leaves them."""
    update_sizes: list[int]
    """For each step of the phase, the number of batches in the update that it contributes to."""
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    plateau: Plateau | None
    """Lowers the learning rate where the validation loss stops falling."""
    warmup_steps: int
    swa_start: int | None
    """The step from which stochastic weight averaging runs; None never averages."""
    is_averaging: bool = False
    """Whether stochastic weight averaging has started."""
    num_pending: int = 0
    """The number of batches whose gradients wait for an update."""

    def checkpoint(self) -> dict[str, Any]:
        """Return what a resume needs between two updates, as plain values and tensors."""
        return {name: None if part is None else part.state_dict() for name, part in self._parts().items()}

    def restore(self, checkpoint: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            if part is not None:
                part.load_state_dict(checkpoint[name])

    def _parts(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer, "schedule": self.schedule, "plateau": self.plateau}


@dataclass
class TrainState(LoopState):
    """What the training of a seed has come to, beside the classifier and the phase."""

    lr: float = 0.0
    """The learning rate of the last update."""
    history: list[Row] = field(default_factory=list)
    """A row for each validation."""
    best: Weights | None = None
    """The selected weights so far; None where the last ones are selected."""
    best_score: tuple[float, float] = (float("-inf"), float("-inf"))
    """Their score by the selected measure, and their negative validation loss."""
    best_step: int = 0
    num_unimproved: int = 0
    """The number of validations in this phase since the best one."""
    finite: Weights = field(default_factory=dict)
    """The weights at the last validation where training was sound, or the initial ones."""
    finite_step: int = 0
    diverged: dict[str, int | float | str] | None = None
    """The fields of a Divergence, where training has ended in one."""
    loss_sum: torch.Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    """The sum of the losses since the last check for divergence."""
    loss_count: int = 0
    row_sum: float = 0.0
    """The sum of the checked losses since the last row of the history."""
    row_count: int = 0
    epoch_sum: float = 0.0
    """The sum of the checked losses in this epoch."""
    epoch_count: int = 0
    lowest_epoch_loss: float = float("inf")
    """The lowest mean loss of an epoch in this phase."""
    collapsed_steps: int = 0
    """The length of the latest epochs of this phase, one after the other, in which the net ignored its input."""

    @property
    def divergence(self) -> Divergence | None:
        return None if self.diverged is None else Divergence(**self.diverged)  # type: ignore[arg-type]

    def begin_phase(self, *, is_new: bool, device: torch.device) -> None:
        """Sum losses on the device of the phase and, where it is new, reset what counts within a phase."""
        self.loss_sum = self.loss_sum.to(device, torch.float32 if device.type == "mps" else torch.float64)
        if is_new:
            self.num_unimproved = self.collapsed_steps = self.epoch_count = 0
            self.epoch_sum, self.lowest_epoch_loss = 0.0, float("inf")

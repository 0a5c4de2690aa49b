"""The state of one seed's training: of its present phase, and of the whole run."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from touchstone.training.classifier import Classifier, Weights
from touchstone.training.distillation import Distillation
from touchstone.training.objective import Mixing
from touchstone.training.optimizers import Plateau, Schedule
from touchstone.training.resumable import LoopState
from touchstone.training.setup import ScheduledPhase, TrainingRun
from touchstone.training.shard import Shard

Row = dict[str, float]
"""A row of the history: step, epoch, train_loss, lr and, with validation images, the objective's measures."""

Batch = tuple[torch.Tensor, torch.Tensor]
"""Pixels (B, P, P, C), with five crops (B, 5, P, P, C), or features float32 (B, D) or (B, 5, D); and labels,
int64 (B,) or float32 (B, K)."""


@dataclass
class PhaseState:
    """The objects that the steps of one phase work with, made by `begin_phase`."""

    run: TrainingRun
    scheduled: ScheduledPhase
    classifier: Classifier
    parameters: list[nn.Parameter]  # those that the phase trains
    class_weights: torch.Tensor | None  # float32, as the objective's loss takes them; None weighs all classes the same
    mix: Mixing | None  # mixes the images of a batch with one another
    distillation: Distillation | None  # the teachers; None for labels alone
    update_sizes: list[int]  # for each step of the phase, the number of batches in the update that it contributes to
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    plateau: Plateau | None  # lowers the learning rate where the validation loss stops falling
    warmup_steps: int
    swa_start: int | None  # the step from which stochastic weight averaging runs, if it does
    shard: Shard | None = None  # the part of each batch that this process computes; None for all of it
    is_averaging: bool = False  # whether stochastic weight averaging has started
    num_pending: int = 0  # the number of batches whose gradients wait for an update

    def checkpoint(self) -> dict[str, Any]:
        """Return what a resume between two updates needs, as plain values and tensors."""
        plateau = None if self.plateau is None else self.plateau.state_dict()
        return {"optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict(), "plateau": plateau}

    def restore(self, checkpoint: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.schedule.load_state_dict(checkpoint["schedule"])
        if self.plateau is not None:
            self.plateau.load_state_dict(checkpoint["plateau"])


@dataclass
class TrainState(LoopState):
    """The progress of one seed's training, apart from its classifier and its phase."""

    lr: float = 0.0  # of the last update
    history: list[Row] = field(default_factory=list)  # a row for each validation
    best: Weights | None = None  # the best weights so far; None where the last ones are selected
    best_score: tuple[float, float] = (float("-inf"), float("-inf"))  # the selected measure, negative validation loss
    best_step: int = 0
    num_unimproved: int = 0  # the number of validations in this phase since the best one
    finite: Weights = field(default_factory=dict)  # of the last validation before any divergence, or the initial ones
    finite_step: int = 0
    diverged: dict[str, int | float | str] | None = None  # the fields of a Divergence that ended training

    # Sums and numbers of the losses since the last check for divergence, and of the checked losses since the last row
    # of the history and in this epoch.
    loss_sum: torch.Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    loss_count: int = 0
    row_sum: float = 0.0
    row_count: int = 0
    epoch_sum: float = 0.0
    epoch_count: int = 0
    lowest_epoch_loss: float = float("inf")  # the lowest mean loss of an epoch in this phase
    collapsed_steps: int = 0  # in the latest consecutive epochs of this phase in which the net ignored its input

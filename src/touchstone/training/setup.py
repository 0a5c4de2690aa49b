"""What all seeds of a run share: its images and labels, its phases, its normalisation, the weights it starts from."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from touchstone.config.schema.machine import Machine
from touchstone.config.schema.model import Model, Phase
from touchstone.data.batches import View, statistics
from touchstone.data.imageset import ImageSet
from touchstone.data.labels import encode
from touchstone.data.training_set import TrainingSet
from touchstone.models.initial_weights import RANDOM, InitialWeights
from touchstone.training.checks import check_run
from touchstone.training.divergence import DivergenceMonitor
from touchstone.training.objective import Objective, objective_for


@dataclass(frozen=True)
class ScheduledPhase:
    """A phase and its place in the run: it takes the steps `first` .. `stop` - 1."""

    phase: Phase
    first: int
    stop: int

    @property
    def num_steps(self) -> int:
        return self.stop - self.first

    @property
    def is_fixed(self) -> bool:
        """Whether an image looks the same in every epoch."""
        return not self.phase.augments and not self.phase.mixes


@dataclass(frozen=True)
class TrainingRun:
    """A model trained on an arm, with one or several seeds."""

    title: str
    """The run's name, for messages and loggers."""
    settings: Model
    phases: tuple[ScheduledPhase, ...]
    data: TrainingSet
    objective: Objective
    """The loss and measures for labels of this kind, with the labels of the training images."""
    val: ImageSet
    """The validation images; there may be none."""
    val_labels: np.ndarray
    """int64 (N,), or float32 (N, K) with several labels an image."""
    classes: list[str]
    view: View
    """How training images become the net's input."""
    test_view: View
    """How images that are predicted become the net's input."""
    mean: list[float]
    """Of each channel in grey levels."""
    std: list[float]
    """Of each channel in grey levels."""
    initial: InitialWeights
    machine: Machine
    features: Path | None
    """The folder that caches the features of a frozen backbone; None computes them in each step."""

    @property
    def num_steps(self) -> int:
        return self.phases[-1].stop

    @property
    def steps_per_epoch(self) -> float:
        """The number of batches in a pass over the training images, which may be a fraction."""
        return len(self.data) / self.settings.batch_size

    @property
    def multi_label(self) -> bool:
        return self.objective.labels.ndim == 2

    @property
    def failed_starts(self) -> dict[str, str]:
        """Seed -> how the weights that it starts from diverged in their own training."""
        name, diverged = self.initial.name, self.initial.diverged
        return {seed: f"{name}, which it starts from: {reason}" for seed, reason in diverged.items()}

    def is_eval(self, step: int) -> bool:
        """Whether to validate after `step` steps: every eval_steps or epoch, and always at a phase's end."""
        if any(step == scheduled.stop for scheduled in self.phases):
            return True
        if self.settings.eval_steps:
            return step % self.settings.eval_steps == 0
        return self.is_epoch_end(step)

    def is_epoch_end(self, step: int) -> bool:
        """Whether a pass over the training images ends with step number `step`."""
        batch_size, num_images = self.settings.batch_size, len(self.data)
        return step * batch_size // num_images > (step - 1) * batch_size // num_images

    @property
    def last_pass(self) -> int:
        """The step at which the last pass over the training images begins."""
        return max(0, self.num_steps - math.ceil(self.steps_per_epoch))

    def monitor(self, phase: Phase) -> DivergenceMonitor:
        """Return the monitor that judges whether training in a phase has diverged."""
        return DivergenceMonitor(
            uniform_loss=self.objective.uniform_loss,
            collapse_text=self.objective.collapse_text,
            chance_loss=self.objective.chance_loss(phase),
            collapse_epochs=self.settings.collapse_epochs,
            steps_per_epoch=self.steps_per_epoch,
        )


def set_up(
    title: str,
    *,
    settings: Model,
    data: TrainingSet,
    val: ImageSet,
    meta: dict[str, Any],
    machine: Machine,
    features: Path | None = None,
    initial: InitialWeights = RANDOM,
) -> TrainingRun:
    """Set up a run: encode its labels, place its phases, and choose its normalisation.

    meta: the content of meta.json, which preparation wrote. Raises TouchstoneError where the settings do not suit the
    images, their labels, the machine or the initial weights.
    """
    classes = meta["classes"]
    objective = objective_for(encode(data.table, meta), len(classes))
    check_run(title, settings, objective, machine, initial, num_val=len(val))
    mean, std = (initial.mean, initial.std) if initial.mean and initial.std else statistics(data)
    stored = {"size_px": meta["image_size"], "crop_px": settings.crop_px}
    return TrainingRun(
        title=title,
        settings=settings,
        phases=_scheduled(settings, len(data)),
        data=data,
        objective=objective,
        val=val,
        val_labels=encode(val.table, meta),
        classes=classes,
        view=View(input_px=settings.input_size, **stored),
        test_view=View(input_px=settings.test_px, **stored),
        mean=mean,
        std=std,
        initial=initial,
        machine=machine,
        features=features,
    )


def _scheduled(settings: Model, num_images: int) -> tuple[ScheduledPhase, ...]:
    scheduled: list[ScheduledPhase] = []
    for phase in settings.phases:
        first = scheduled[-1].stop if scheduled else 0
        scheduled.append(ScheduledPhase(phase, first, first + phase.steps(num_images, settings.batch_size)))
    return tuple(scheduled)

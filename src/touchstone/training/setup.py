"""A run's images, labels, phases, normalisation and initial weights, which all its seeds share."""

import math
from collections.abc import Mapping
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
from touchstone.models.teachers import Teachers
from touchstone.training.checks import check_run
from touchstone.training.objective import Objective, objective_for


@dataclass(frozen=True)
class ScheduledPhase:
    """A phase and its steps in the run: `first` .. `stop` - 1."""

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

    title: str  # the run's name
    settings: Model
    phases: tuple[ScheduledPhase, ...]
    data: TrainingSet
    objective: Objective  # the loss, the measures and the labels of the training images
    val: ImageSet  # the validation images; there may be none
    val_labels: np.ndarray  # int64 (N,), or float32 (N, K) with several labels an image
    classes: list[str]
    view: View  # from training images to the net's input
    test_view: View  # from images that are predicted to the net's input
    mean: list[float]  # per channel, in grey levels (0 to 255)
    std: list[float]  # as mean
    initial: InitialWeights
    teachers: Teachers | None  # the runs that it learns from; None for labels alone
    machine: Machine
    features: Path | None  # the folder that caches the features of a frozen backbone; None computes them in each step
    replicates: Mapping[int, "TrainingRun"]  # seed -> the run on its own training images; empty where all share them

    def of_seed(self, seed: int) -> "TrainingRun":
        """The run on the training images of a seed."""
        return self.replicates.get(seed, self)

    def own_inputs(self, seed: int) -> list[str]:
        """The hashes of what a seed has for itself: the weights that it starts and learns from, its training images."""
        start = [self.initial.sha256[str(seed)]] if self.initial.is_run else []
        start += self.teachers.own_inputs(seed) if self.teachers is not None else []
        return start + ([self.of_seed(seed).data.content_hash()] if self.replicates else [])

    @property
    def num_steps(self) -> int:
        return self.phases[-1].stop

    @property
    def steps_per_epoch(self) -> float:
        """May be a fraction."""
        return len(self.data) / self.settings.batch_size

    @property
    def multi_label(self) -> bool:
        return self.objective.labels.ndim == 2

    @property
    def failed_starts(self) -> dict[str, str]:
        """Seed -> the divergence of the weights that it starts from, or learns from, in their own training."""
        name, diverged = self.initial.name, self.initial.diverged
        taught = self.teachers.diverged if self.teachers is not None else {}
        return taught | {seed: f"{name}, which it starts from: {reason}" for seed, reason in diverged.items()}

    def is_eval(self, step: int) -> bool:
        """Whether to validate after `step` steps: every eval_steps or epoch, and always at a phase's end."""
        every = self.settings.eval_steps
        is_due = step % every == 0 if every else self.is_epoch_end(step)
        return is_due or any(step == scheduled.stop for scheduled in self.phases)

    def is_epoch_end(self, step: int) -> bool:
        """Whether a pass over the training images ends within step number `step`."""
        batch_size, num_images = self.settings.batch_size, len(self.data)
        return step * batch_size // num_images > (step - 1) * batch_size // num_images

    @property
    def last_pass(self) -> int:
        """The step at which the last pass over the training images begins."""
        return max(0, self.num_steps - math.ceil(self.steps_per_epoch))


def scheduled_phases(settings: Model, num_images: int) -> tuple[ScheduledPhase, ...]:
    """Return a model's phases with their steps, trained on `num_images` images."""
    phases: list[ScheduledPhase] = []
    for phase in settings.phases:
        first = phases[-1].stop if phases else 0
        phases.append(ScheduledPhase(phase, first, first + phase.steps(num_images, settings.batch_size)))
    return tuple(phases)


def set_up(
    title: str,
    *,
    settings: Model,
    data: TrainingSet | Mapping[int, TrainingSet],
    val: ImageSet,
    meta: dict[str, Any],
    machine: Machine,
    features: Path | None = None,
    initial: InitialWeights = RANDOM,
    teachers: Teachers | None = None,
) -> TrainingRun:
    """Encode a run's labels, schedule its phases, and choose its normalisation.

    data: the training images, or those of each seed; equal ones are one object. meta: the content of meta.json.
    teachers: the runs of `settings.teachers`; None where there are none. Raises TouchstoneError where the settings do
    not suit the images, their labels, the machine, the initial weights or the teachers.
    """
    if bool(settings.teachers) != (teachers is not None):
        raise ValueError(f"teachers: got {teachers}, expected those of {settings.teachers}")
    shared: Any = {"settings": settings, "val": val, "meta": meta, "machine": machine, "features": features}
    shared["teachers"] = teachers
    of_seed = data if isinstance(data, Mapping) else dict.fromkeys(settings.seeds, data)
    data = of_seed[settings.seeds[0]]
    is_shared = all(images is data for images in of_seed.values()) and not initial.normalisations
    own = (
        {}
        if is_shared
        else {
            seed: set_up(title, data=images, initial=initial.of_seed(seed), **shared)
            for seed, images in of_seed.items()
        }
    )
    classes = meta["classes"]
    objective = objective_for(encode(data.table, meta), len(classes))
    check_run(title, settings, objective, machine, initial, num_val=len(val), teachers=teachers)
    mean, std = (initial.mean, initial.std) if initial.mean and initial.std else statistics(data)
    stored: Any = {"size_px": meta["image_size"], "crop_px": settings.crop_px}
    stored |= {"crop_share": settings.crop_share, "interpolation": settings.interpolation}
    return TrainingRun(
        title=title,
        settings=settings,
        phases=scheduled_phases(settings, len(data)),
        data=data,
        objective=objective,
        val=val,
        val_labels=encode(val.table, meta),
        classes=classes,
        view=View(input_px=settings.input_size, **stored),
        test_view=View(
            input_px=settings.test_px, test_crops=settings.test_crops, test_scales=settings.test_scales, **stored
        ),
        mean=mean,
        std=std,
        initial=initial,
        teachers=teachers,
        machine=machine,
        features=features,
        replicates=own,
    )

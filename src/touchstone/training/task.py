"""What all seeds of a run share: its images and labels, its plan, what it starts from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from touchstone.config.model import Model, Phase
from touchstone.config.sections import Machine
from touchstone.data.augment import Online
from touchstone.data.batches import View, statistics
from touchstone.data.imageset import ImageSet
from touchstone.data.labels import encode
from touchstone.data.training_set import TrainingSet
from touchstone.errors import TouchstoneError
from touchstone.models.origin import Origin, Tensors
from touchstone.models.precision import check_precision
from touchstone.models.predict import device
from touchstone.models.starts import Start
from touchstone.training.divergence import Watch
from touchstone.training.loggers import check_loggers
from touchstone.training.objective import Objective, objective


@dataclass(frozen=True)
class Span:
    """A phase and the steps it takes: `first` .. `stop` - 1 of the run's stream."""

    phase: Phase
    first: int
    stop: int

    @property
    def online(self) -> Online:
        """What is changed of each image, anew in each epoch."""
        p = self.phase
        return Online(
            crop_padding=p.crop_padding,
            crop_scale=p.crop_scale,
            crop_ratio=p.crop_ratio,
            hflip=p.hflip,
            brightness=p.jitter_brightness,
            contrast=p.jitter_contrast,
            saturation=p.jitter_saturation,
            hue=p.jitter_hue,
            rotate_deg=p.rotate_deg,
        )

    @property
    def is_fixed(self) -> bool:
        """Whether an image is the same in each epoch."""
        return not self.online and not self.phase.mixes


@dataclass(frozen=True)
class Task:
    """A run.

    mean, std: of each channel in grey levels. body: weights to start from, without a head. start: another run to start
    from, starts: of each seed, that run's weights with their head. features: the folder where what a frozen backbone
    sees is kept; None: nowhere, it is computed in each step. view, test_view: of images that are trained on, and of
    those that are predicted.
    """

    title: str
    settings: Model
    spans: tuple[Span, ...]
    data: TrainingSet
    objective: Objective  # with the labels of the training images
    val: ImageSet
    val_labels: np.ndarray
    classes: list[str]
    view: View
    test_view: View
    mean: list[float]
    std: list[float]
    body: Tensors | None
    start: Start | None
    starts: dict[int, Tensors]
    machine: Machine
    features: Path | None

    @property
    def failed_starts(self) -> dict[str, str]:
        """Of a seed, how training of the run that it starts from ended before its time."""
        if self.start is None:
            return {}
        return {seed: f"{self.start.run}, which it starts from: {how}" for seed, how in self.start.diverged.items()}

    @property
    def labels(self) -> np.ndarray:
        """Of the training images: int64 (N,), or float32 (N, K) with several labels an image."""
        return self.objective.labels

    @property
    def multi_label(self) -> bool:
        return self.labels.ndim == 2

    @property
    def num_steps(self) -> int:
        return self.spans[-1].stop

    @property
    def steps_per_epoch(self) -> float:
        return len(self.data) / self.settings.batch_size

    def is_eval(self, step: int) -> bool:
        """Whether to validate after `step` steps: every eval_steps or epoch, and always at a phase's end."""
        if any(step == span.stop for span in self.spans):
            return True
        if self.settings.eval_steps:
            return step % self.settings.eval_steps == 0
        return self.is_epoch_end(step)

    def is_epoch_end(self, step: int) -> bool:
        """Whether a pass over the training images ends with step number `step`."""
        per_step, count = self.settings.batch_size, len(self.data)
        return step * per_step // count > (step - 1) * per_step // count

    def watch(self, span: Span) -> Watch:
        """What judges whether training in a span has diverged."""
        return Watch(
            equal=self.objective.equal,
            alike=self.objective.alike,
            chance=self.objective.chance(span.phase),
            collapse_epochs=self.settings.collapse_epochs,
            steps_per_epoch=self.steps_per_epoch,
        )


def task(
    title: str,
    *,
    settings: Model,
    data: TrainingSet,
    val: ImageSet,
    meta: dict[str, Any],
    machine: Machine,
    features: Path | None = None,
    origin: tuple[Origin, Tensors | None] = (Origin("none"), None),
    start: tuple[Start, dict[int, Tensors]] | None = None,
) -> Task:
    """Labels, plan, normalisation and view of a run, worked out once.

    meta: what preparation wrote to meta.json. features: see `Task`. origin: what to start from (`read_origin`); start:
    the run to start from instead (`read_start`). Raises TouchstoneError where that lacks a seed, and where the settings
    are not for labels of this kind.
    """
    classes = meta["classes"]
    aim = objective(encode(data.table, meta), len(classes))
    _check(title, settings, aim, machine, len(val))
    note, body = origin
    run, starts = start or (None, {})
    if run is not None:
        _check_seeds(title, settings, run)
    known = run or note
    mean, std = (known.mean, known.std) if known.mean and known.std else statistics(data)
    seen = {"size_px": meta["image_size"], "crop_px": settings.crop_px}
    return Task(
        title=title,
        settings=settings,
        spans=_spans(settings, len(data)),
        data=data,
        objective=aim,
        val=val,
        val_labels=encode(val.table, meta),
        classes=classes,
        view=View(input_px=settings.input_size, **seen),
        test_view=View(input_px=settings.test_px, **seen),
        mean=mean,
        std=std,
        body=body,
        start=run,
        starts=starts,
        machine=machine,
        features=features,
    )


def _check(title: str, settings: Model, aim: Objective, machine: Machine, num_val: int) -> None:
    """What cannot be done is an error before any work."""
    _check_kind(title, settings, aim)
    check_precision(settings.precision, device(machine.accelerator))
    check_loggers(machine.loggers)
    _check_validation(title, settings, num_val)


def _check_kind(title: str, settings: Model, aim: Objective) -> None:
    if settings.select not in (*aim.measures, "last"):
        raise TouchstoneError(
            f"{title}: select: {settings.select} is for images of several labels, and here each has one; set "
            "val_accuracy"
        )
    if settings.crop_px and aim.labels.ndim == 1:
        raise TouchstoneError(
            f"{title}: crops: {settings.crops} takes the crop that answers most strongly, label by label, and here "
            "each image has one; set centre"
        )


def _check_seeds(title: str, settings: Model, start: Start) -> None:
    lacking = [str(seed) for seed in settings.seeds if str(seed) not in start.weights]
    if lacking:
        raise TouchstoneError(f"{title}: {start.run} has no seed {', '.join(lacking)} to start from; run `dvc repro`")


def _check_validation(title: str, settings: Model, num_images: int) -> None:
    watchers = [f"schedule: {p.schedule}" for p in settings.plan() if p.schedule == "plateau"]
    watchers += [f"patience: {settings.patience}"] if settings.patience else []
    if watchers and not num_images:
        raise TouchstoneError(
            f"{title}: {watchers[0]} watches the validation images, and there are none; set data.val_fraction above 0, "
            "or train without it"
        )


def _spans(settings: Model, num_images: int) -> tuple[Span, ...]:
    spans: list[Span] = []
    for phase in settings.plan():
        first = spans[-1].stop if spans else 0
        spans.append(Span(phase, first, first + phase.steps(num_images, settings.batch_size)))
    return tuple(spans)

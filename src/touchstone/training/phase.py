"""How a phase begins: its trainable weights, its optimizer and schedule, its batches, and what validates it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from touchstone.data.batches import Batches, View
from touchstone.data.imageset import valid_sizes
from touchstone.data.training_set import TrainingSet
from touchstone.errors import TouchstoneError
from touchstone.models import predict
from touchstone.models.device import device
from touchstone.models.feature_cache import Backbone
from touchstone.models.freezing import freeze, is_frozen_but_head
from touchstone.training import schedules, swa
from touchstone.training.classifier import Classifier
from touchstone.training.objective import mixing
from touchstone.training.optimizers import optimizer_of
from touchstone.training.setup import ScheduledPhase, TrainingRun
from touchstone.training.state import Batch, PhaseState, TrainState

Validate = Callable[[], dict[str, float]]  # -> the objective's measures


def begin_phase(
    run: TrainingRun,
    scheduled: ScheduledPhase,
    classifier: Classifier,
    state: TrainState,
    *,
    checkpoint: dict[str, Any] | None = None,
) -> PhaseState:
    """Begin a phase at its first step, or go on with it at `state.step` from the `checkpoint` of its optimizer.

    Raises TouchstoneError where the phase names a module that the net lacks.
    """
    settings, phase, where = run.settings, scheduled.phase, torch.device(device(run.machine.accelerator))
    try:
        freeze(classifier.to(where).net, phase, head=classifier.head)
    except TouchstoneError as error:
        raise TouchstoneError(f"{run.title}: {error}") from error
    classifier.net.zero_grad()  # a phase that was stopped early may have left gradients
    state.begin_phase(is_new=state.step == scheduled.first, device=where)
    parameters = [p for p in classifier.net.parameters() if p.requires_grad]
    optimizer = optimizer_of(parameters, phase)
    weights = run.objective.class_weights(phase)
    num_steps, steps_per_epoch = scheduled.num_steps, run.steps_per_epoch
    begun = PhaseState(
        run=run,
        scheduled=scheduled,
        classifier=classifier,
        parameters=parameters,
        class_weights=None if weights is None else torch.tensor(weights, dtype=torch.float32, device=where),
        mix=mixing(phase, len(run.classes)),
        update_sizes=schedules.update_sizes(
            phase, num_steps=num_steps, batch_size=settings.batch_size, num_images=len(run.data)
        ).tolist(),
        optimizer=optimizer,
        schedule=schedules.schedule(optimizer, phase, num_steps=num_steps, steps_per_epoch=steps_per_epoch),
        plateau=schedules.plateau(optimizer, phase),
        warmup_steps=schedules.warmup_steps(phase, num_steps=num_steps, steps_per_epoch=steps_per_epoch),
        swa_start=swa.first_step(run, scheduled),
    )
    swa.start_if_due(begun, step=state.step)
    if checkpoint is not None and state.step > scheduled.first:
        begun.restore(checkpoint)
    return begun


def training_batches(
    run: TrainingRun, scheduled: ScheduledPhase, data: TrainingSet, *, seed: int, start: int
) -> Iterable[Batch]:
    """Return the run's batches from step `start` to the phase's end.

    An item is a whole batch, in the stream's order: there is no sampler and no collation.
    """
    batches = Batches(
        data,
        run.objective.labels,
        view=run.view,
        augmentation=scheduled.phase,
        batch_size=run.settings.batch_size,
        num_steps=run.num_steps,
        start=start,
        stop=scheduled.stop,
        seed=seed,
    )
    return DataLoader(batches, batch_size=None, num_workers=run.machine.num_workers)


def training_data(phase: PhaseState) -> TrainingSet:
    """Return the training images, or their features where the phase always computes the same ones."""
    data, features = phase.run.data, phase.run.features
    if features is None or not _has_fixed_features(phase):
        return data
    backbone = _backbone(phase, phase.run.view)
    parts = zip(data.parts, data.part_sizes, strict=True)
    return replace(data, parts=[backbone.features(pixels, sizes, folder=features) for pixels, sizes in parts])


def validator(phase: PhaseState) -> Validate | None:
    """Return what measures the classifier on the validation images, or on their features; None without images."""
    run, classifier = phase.run, phase.classifier
    if not len(run.val):
        return None
    labels, cached = torch.tensor(run.val_labels), _validation_features(phase)

    def validate() -> dict[str, float]:
        inputs = [_rows(features, predict.batch_size(run.test_view)) for features in cached]
        outputs = [predict.logits(classifier, each) for each in inputs or [predict.batches(run.val, run.test_view)]]
        logits = predict.mean_of(*outputs, multi_label=run.multi_label) if len(outputs) == 2 else outputs[0]
        return run.objective.validated(logits, labels)

    return validate


def _validation_features(phase: PhaseState) -> list[np.ndarray]:
    """The features of the validation images and, where those count, of their mirror images; empty: images are used."""
    run, folder = phase.run, phase.run.features
    if folder is None or not _has_fixed_features(phase) or phase.classifier.averaged is not None:
        return []  # an averaged backbone still follows what an earlier phase trained
    backbone, sizes = _backbone(phase, run.test_view), valid_sizes(run.val.table)
    sides = (False, True) if run.settings.test_flips else (False,)
    return [backbone.features(run.val.images, sizes, folder=folder, mirrored=mirrored) for mirrored in sides]


def _has_fixed_features(phase: PhaseState) -> bool:
    """Whether an image has the same features in every step, and they may be cached: features are exact, in fp32."""
    settings, net, head = phase.run.settings, phase.classifier.net, phase.classifier.head
    is_fixed = phase.scheduled.is_fixed and is_frozen_but_head(net, head)
    return is_fixed and settings.precision == "fp32" and settings.feature_cache


def _backbone(phase: PhaseState, view: View) -> Backbone:
    settings, classifier = phase.run.settings, phase.classifier
    return Backbone(
        classifier.net,
        name=settings.net,
        options=settings.options,
        mean=classifier.mean,
        std=classifier.std,
        view=view,
    )


def _rows(features: np.ndarray, size: int) -> Iterator[torch.Tensor]:
    for start in range(0, len(features), size):
        yield torch.from_numpy(np.array(features[start : start + size]))

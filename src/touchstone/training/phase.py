"""The beginning of a phase: its trainable weights, optimizer, schedule and batches, and its validation."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from touchstone.data.batches import Batches, View
from touchstone.data.imageset import valid_sizes
from touchstone.data.training_set import TrainingSet
from touchstone.errors import TouchstoneError
from touchstone.models import predict
from touchstone.models.device import device
from touchstone.models.feature_cache import Backbone
from touchstone.models.freezing import freeze, is_frozen_but_head, takes_vectors
from touchstone.training import swa
from touchstone.training.classifier import Classifier
from touchstone.training.distillation import Distillation
from touchstone.training.layer_rates import parameter_groups
from touchstone.training.loader import loader_of
from touchstone.training.objective import mixing
from touchstone.training.optimizers import Plateau, optimizer_of, schedule_of, update_sizes, warmup_steps
from touchstone.training.setup import ScheduledPhase, TrainingRun
from touchstone.training.shard import Shard
from touchstone.training.state import Batch, PhaseState, TrainState

Validate = Callable[[], dict[str, float]]  # -> the objective's measures


def begin_phase(
    run: TrainingRun,
    scheduled: ScheduledPhase,
    classifier: Classifier,
    state: TrainState,
    *,
    distillation: Distillation | None = None,
    checkpoint: dict[str, Any] | None = None,
    shard: Shard | None = None,
) -> PhaseState:
    """Begin a phase at its first step, or resume it at `state.step` from the `checkpoint` of its optimizer.

    distillation: the seed's teachers; None for labels alone. shard: the part of each batch that this process computes;
    None for all of it. Raises TouchstoneError where the phase names a module that
    the net lacks.
    """
    phase, where = scheduled.phase, torch.device(device(run.machine.accelerator))
    try:
        freeze(classifier.to(where).net, phase, head=classifier.head)
    except TouchstoneError as error:
        raise TouchstoneError(f"{run.title}: {error}") from error
    classifier.net.zero_grad()  # a phase that was stopped early may have left gradients
    state.loss_sum = state.loss_sum.to(where, torch.float32 if where.type == "mps" else torch.float64)
    if state.step == scheduled.first:
        state.num_unimproved = state.collapsed_steps = state.epoch_count = 0
        state.epoch_sum, state.lowest_epoch_loss = 0.0, float("inf")

    parameters = [p for p in classifier.net.parameters() if p.requires_grad]
    try:
        groups = parameter_groups(classifier, phase, side_px=run.settings.input_size)
    except TouchstoneError as error:
        raise TouchstoneError(f"{run.title}: {error}") from error
    optimizer = optimizer_of(groups, phase)
    weights = run.objective.class_weights(phase)
    num_steps, steps_per_epoch = scheduled.num_steps, run.steps_per_epoch
    schedule = schedule_of(optimizer, phase, num_steps=num_steps, steps_per_epoch=steps_per_epoch)
    sizes = update_sizes(phase, num_steps=num_steps, batch_size=run.settings.batch_size, num_images=len(run.data))
    plateau = None
    if phase.schedule == "plateau":
        least = 0.0 if phase.layer_decay < 1 else 1e-8  # the least change of a rate; rates of early blocks are small
        plateau = Plateau(optimizer, factor=phase.decay, patience=phase.plateau_patience, threshold=0.0, eps=least)
    begun = PhaseState(
        run=run,
        scheduled=scheduled,
        classifier=classifier,
        parameters=parameters,
        class_weights=None if weights is None else torch.tensor(weights, dtype=torch.float32, device=where),
        mix=mixing(phase, len(run.classes)),
        distillation=None if distillation is None else distillation.to(where),
        update_sizes=sizes,
        optimizer=optimizer,
        schedule=schedule,
        plateau=plateau,
        warmup_steps=warmup_steps(phase, num_steps=num_steps, steps_per_epoch=steps_per_epoch),
        swa_start=swa.first_step(run, scheduled),
        shard=shard,
    )
    if run.settings.compile:
        classifier.compile_steps()
    swa.start_if_due(begun, step=state.step)
    if checkpoint is not None and state.step > scheduled.first:
        begun.restore(checkpoint)
    return begun


def training_batches(
    run: TrainingRun,
    scheduled: ScheduledPhase,
    data: TrainingSet,
    *,
    seed: int,
    start: int,
    shard: Shard | None = None,
) -> Iterable[Batch]:
    """Return the run's batches from step `start` to the phase's end.

    An item is a whole batch. With a shard, its images are those of the shard, unless the phase mixes the images of a
    batch.
    """
    rows = slice(None) if shard is None or scheduled.phase.mixes else shard.rows(run.settings.batch_size)
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
        balance=scheduled.phase.balance,
        rows=rows,
    )
    return loader_of(batches, run.machine)


def training_data(phase: PhaseState) -> TrainingSet:
    """Return the training images, or their features where they may be cached: not with teachers, who see images."""
    data, features_of = phase.run.data, _feature_cache(phase, phase.run.view)
    if features_of is None or phase.distillation is not None:
        return data
    parts = zip(data.parts, data.part_sizes, strict=True)
    return replace(data, parts=[features_of(pixels, sizes) for pixels, sizes in parts])


def validator(phase: PhaseState) -> Validate | None:
    """Return a function that measures the classifier on the validation images; None if there are none."""
    run, classifier = phase.run, phase.classifier
    if not len(run.val):
        return None
    labels, cached = torch.tensor(run.val_labels), list[np.ndarray]()
    # Features cannot stand in for an averaged backbone, which still follows the weights that an earlier phase trained.
    of_one_view = classifier.averaged is None and not run.settings.test_shift
    features_of = _feature_cache(phase, run.test_view) if of_one_view else None
    if features_of is not None:
        sides = (False, True) if run.settings.test_flips else (False,)
        sizes = valid_sizes(run.val.table)
        cached = [features_of(run.val.images, sizes, mirrored=mirrored) for mirrored in sides]

    def validate() -> dict[str, float]:
        if not cached:
            logits = predict.logits(classifier, predict.batches(run.val, run.test_view))
            return run.objective.validated(logits, labels)
        size = predict.batch_size(run.test_view)
        outputs = [predict.logits(classifier, _rows(features, size)) for features in cached]
        logits = predict.mean_of(*outputs, multi_label=run.multi_label) if len(outputs) == 2 else outputs[0]
        return run.objective.validated(logits, labels)

    return validate


def _feature_cache(phase: PhaseState, view: View) -> Callable[..., np.ndarray] | None:
    """Return `Backbone.features` of the frozen backbone.

    None where features may not be cached: an image must have the same ones in every step, in fp32, as they are exact.
    """
    settings, classifier, folder = phase.run.settings, phase.classifier, phase.run.features
    is_fixed = phase.scheduled.is_fixed and is_frozen_but_head(classifier.net, classifier.head)
    is_fixed = is_fixed and takes_vectors(classifier.net, classifier.head)
    if folder is None or not is_fixed or settings.precision != "fp32" or not settings.feature_cache:
        return None
    backbone = Backbone(
        classifier.net,
        name=settings.net,
        options=settings.options,
        mean=classifier.mean,
        std=classifier.std,
        view=view,
    )
    return partial(backbone.features, folder=folder)


def _rows(features: np.ndarray, size: int) -> Iterator[torch.Tensor]:
    for start in range(0, len(features), size):
        yield torch.from_numpy(np.array(features[start : start + size]))

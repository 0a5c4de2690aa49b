"""Training one seed, phase by phase, resumed where an earlier process was stopped."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from touchstone.data.batches import Batches, View
from touchstone.data.imageset import valid_sizes
from touchstone.data.training_set import TrainingSet
from touchstone.errors import TouchstoneError
from touchstone.models.feature_cache import Backbone
from touchstone.models.freezing import is_frozen_but_head
from touchstone.models.nets import build, head_of
from touchstone.models.origin import start_from
from touchstone.models.predict import batch_size, batches, device, logits, mean_of
from touchstone.models.starts import check_fit, take_over
from touchstone.seeds import derive
from touchstone.training import loggers, plain
from touchstone.training.classifier import Classifier
from touchstone.training.divergence import Divergence
from touchstone.training.keeper import Keeper, Row, Weights, snapshot
from touchstone.training.learner import Batch, Learner
from touchstone.training.plain import OnStep, make_deterministic
from touchstone.training.task import Span, Task


@dataclass(frozen=True)
class Trained:
    """One seed's result: the selected weights, the step they are of, a history row a validation, images a second.

    diverged: how training ended before its time; the weights are then the last finite ones. images_per_second is 0 for
    a seed that was taken from the store.
    """

    seed: int
    weights: Weights
    selected_step: int
    history: list[Row]
    images_per_second: float
    diverged: Divergence | None = None


def train_seed(task: Task, *, seed: int, state_file: Path, on_step: OnStep | None = None) -> Trained:
    """Train one seed from its start or from `state_file`; `on_step` is told each step that is done.

    Raises TouchstoneError where a phase names a module that the net has not, and where training diverges while
    `on_divergence` is fail.
    """
    make_deterministic(task.settings.deterministic)
    learner = new_learner(task, seed)
    keeper = Keeper(task, seed=seed, state_file=state_file)
    keeper.restore(learner)
    start, began = keeper.progress.step, time.perf_counter()
    known = task.settings.model_dump(mode="json")
    with loggers.opened(task.machine.loggers, run=task.title, seed=seed, settings=known, start=start) as logs:
        keeper.loggers = logs
        for span in task.spans:
            if keeper.progress.step < span.stop and keeper.progress.diverged is None:
                _train_span(task, span, learner, keeper, on_step)
    seconds = time.perf_counter() - began
    return _result(keeper, learner, keeper.steps_here * task.settings.batch_size / seconds)


def _result(keeper: Keeper, learner: Learner, rate: float) -> Trained:
    p = keeper.progress
    if p.diverged is not None:
        return Trained(keeper.seed, p.finite, p.finite_step, p.history, rate, Divergence(**p.diverged))  # type: ignore[arg-type]
    if p.best is None:
        return Trained(keeper.seed, snapshot(learner.classifier.judged), keeper.num_steps, p.history, rate)
    return Trained(keeper.seed, p.best, p.best_step, p.history, rate)


def new_learner(task: Task, seed: int) -> Learner:
    """A learner with the first weights of a seed: the same for every arm."""
    settings = task.settings
    torch.manual_seed(derive(seed, "init"))
    net = build(
        settings.net,
        num_classes=len(task.classes),
        in_channels=task.data.parts[0].shape[3],
        input_size=settings.input_size,
        options=settings.options,
    )
    if task.body is not None:
        start_from(net, task.body)
    if seed in task.starts:
        check_fit(task.starts[seed], net, run=task.title, net_name=settings.net)
        take_over(net, task.starts[seed])
    classifier = Classifier(
        net,
        head=head_of(settings.net),
        mean=task.mean,
        std=task.std,
        test_flips=settings.test_flips,
        multi_label=task.multi_label,
    )
    return Learner(
        classifier,
        settings,
        objective=task.objective,
        num_classes=len(task.classes),
        steps_per_epoch=task.steps_per_epoch,
    )


def _train_span(task: Task, span: Span, learner: Learner, keeper: Keeper, on_step: OnStep | None) -> None:
    start = keeper.progress.step
    enter(task, span, learner, step=start)
    data, validator = _inputs(task, span, learner.classifier)
    keeper.enter(span, validator)
    learner.again = lambda: (inputs for inputs, _ in stream(task, span, data, seed=keeper.seed, start=_last_pass(task)))
    batches = stream(task, span, data, seed=keeper.seed, start=start)
    fit = plain.fit
    if task.settings.engine == "lightning":
        from touchstone.training import lightning  # here: it takes seconds to import

        fit = lightning.fit
    fit(learner, batches, keeper, machine=task.machine, on_step=on_step)


def enter(task: Task, span: Span, learner: Learner, *, step: int) -> None:
    """Let a learner begin, or go on with, a span of its task. Raises TouchstoneError on an unknown module."""
    where, is_last = device(task.machine.accelerator), span is task.spans[-1]
    try:
        learner.enter(span, step=step, is_last=is_last, device=where)
    except TouchstoneError as error:
        raise TouchstoneError(f"{task.title}: {error}") from error


def stream(task: Task, span: Span, data: TrainingSet, *, seed: int, start: int = 0) -> Iterable[Batch]:
    """The batches of the task's stream from `start` to the span's end.

    An item is a whole batch, in the stream's order: no sampler, no collation.
    """
    found = Batches(
        data,
        task.labels,
        view=task.view,
        online=span.online,
        batch_size=task.settings.batch_size,
        num_steps=task.num_steps,
        start=start,
        stop=span.stop,
        seed=seed,
    )
    return DataLoader(found, batch_size=None, num_workers=task.machine.num_workers)


def _last_pass(task: Task) -> int:
    """The step at which the last pass over the training images begins."""
    return max(0, task.num_steps - math.ceil(task.steps_per_epoch))


Validator = Callable[[Classifier], dict[str, float]]


def _inputs(task: Task, span: Span, classifier: Classifier) -> tuple[TrainingSet, Validator | None]:
    """What is trained on and how it is validated: features where they cannot change, images otherwise."""
    settings, data = task.settings, task.data
    seen: list[np.ndarray] = []
    fixed = span.is_fixed and is_frozen_but_head(classifier.net, classifier.head)
    exact = settings.precision == "fp32"  # features are
    if fixed and exact and settings.feature_cache and task.features is not None:
        backbone = _backbone(task, classifier, task.view)
        parts = zip(data.parts, data.part_sizes, strict=True)
        data = replace(data, parts=[backbone.see(pixels, sizes, folder=task.features) for pixels, sizes in parts])
        if len(task.val) and classifier.averaged is None:  # an averaged backbone still follows an earlier phase
            backbone, sizes = _backbone(task, classifier, task.test_view), valid_sizes(task.val.table)
            for mirrored in (False, True) if settings.test_flips else (False,):
                seen.append(backbone.see(task.val.images, sizes, folder=task.features, mirrored=mirrored))
    classifier.train()
    return data, _validator(task, seen) if len(task.val) else None


def _backbone(task: Task, classifier: Classifier, view: View) -> Backbone:
    return Backbone(
        classifier.net,
        name=task.settings.net,
        options=task.settings.options,
        mean=classifier.mean,
        std=classifier.std,
        view=view,
    )


def _validator(task: Task, seen: list[np.ndarray]) -> Validator:
    """seen: features of the validation images, and of their mirror images where those count; none: images are used."""
    labels = torch.tensor(task.val_labels)

    def validate(classifier: Classifier) -> dict[str, float]:
        inputs = [_rows(features, batch_size(task.test_view)) for features in seen] or [
            batches(task.val, task.test_view)
        ]
        found = [logits(classifier, each) for each in inputs]
        out = mean_of(*found, multi_label=task.multi_label) if len(found) == 2 else found[0]
        return task.objective.validated(out, labels)

    return validate


def _rows(features: np.ndarray, size: int) -> Iterator[torch.Tensor]:
    for start in range(0, len(features), size):
        yield torch.from_numpy(np.array(features[start : start + size]))

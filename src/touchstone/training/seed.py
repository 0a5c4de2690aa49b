"""Training one seed, phase by phase, resumed where an earlier process was stopped."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from touchstone.arms import TrainingSet
from touchstone.backbone import Backbone
from touchstone.errors import TouchstoneError
from touchstone.freezing import is_frozen_but_head
from touchstone.imageset import valid_sizes
from touchstone.loaders import Batches, View
from touchstone.models import build, head_of
from touchstone.origin import start_from
from touchstone.predict import BATCH, batches, device, logits, mean_of
from touchstone.seeds import derive
from touchstone.training.classifier import Classifier
from touchstone.training.keeper import Keeper, Weights, snapshot
from touchstone.training.task import Span, Task
from touchstone.training.trainer import lean


@dataclass(frozen=True)
class Trained:
    """One seed's result: the selected weights, the step they are of, a history row a validation, images a second.

    images_per_second is 0 for a seed that was taken from the store.
    """

    seed: int
    weights: Weights
    selected_step: int
    history: list[dict[str, float]]
    images_per_second: float


def train_seed(task: Task, *, seed: int, state_file: Path, callbacks: Sequence[pl.Callback] = ()) -> Trained:
    """Train one seed from its start or from `state_file`; `callbacks` may look on.

    Raises TouchstoneError where the loss is not finite or a phase names a module that the net has not.
    """
    classifier = _classifier(task, seed)
    keeper = Keeper(
        seed=seed,
        select=task.settings.select,
        num_steps=task.num_steps,
        steps_per_epoch=task.steps_per_epoch,
        is_eval=task.is_eval,
        state_file=state_file,
        save_seconds=task.machine.save_seconds,
        title=f"{task.title} seed {seed}",
    )
    keeper.restore(classifier)
    start, began = keeper.progress.step, time.perf_counter()
    for span in task.spans:
        if keeper.progress.step < span.stop:
            _train_span(task, span, classifier, keeper, callbacks)
    seconds = time.perf_counter() - began
    rate = (task.num_steps - start) * task.settings.batch_size / seconds
    progress = keeper.progress
    if progress.best is None:
        return Trained(seed, snapshot(classifier.judged), task.num_steps, progress.history, rate)
    return Trained(seed, progress.best, progress.best_step, progress.history, rate)


def _classifier(task: Task, seed: int) -> Classifier:
    settings = task.settings
    torch.manual_seed(derive(seed, "init"))  # the same initial weights for every arm
    net = build(
        settings.net,
        num_classes=len(task.classes),
        in_channels=task.data.parts[0].shape[3],
        input_size=settings.input_size,
        options=settings.options,
    )
    if task.body is not None:
        start_from(net, task.body)
    return Classifier(
        net,
        head=head_of(settings.net),
        mean=task.mean,
        std=task.std,
        ema_decay=settings.ema_decay,
        test_flips=settings.test_flips,
    )


def _train_span(
    task: Task, span: Span, classifier: Classifier, keeper: Keeper, callbacks: Sequence[pl.Callback]
) -> None:
    start = keeper.progress.step
    if start == span.first:
        classifier.resume = None  # a state saved at the end of the phase before
    try:
        classifier.enter(span.phase, num_steps=span.stop - span.first, steps_per_epoch=task.steps_per_epoch)
    except TouchstoneError as error:
        raise TouchstoneError(f"{task.title}: {error}") from error
    keeper.phase = task.spans.index(span) + 1 if len(task.spans) > 1 else 0
    trainer = lean(task.machine, [keeper, *callbacks])  # first: it makes what follows deterministic
    data, keeper.validate = _inputs(task, span, classifier)
    stream = Batches(
        data,
        task.labels,
        view=task.view,
        online=span.online,
        batch_size=task.settings.batch_size,
        num_steps=task.num_steps,
        start=start,
        stop=span.stop,
        seed=keeper.seed,
    )
    # An item is a whole batch, in the stream's order: no sampler, no collation.
    loader = DataLoader(stream, batch_size=None, num_workers=task.machine.num_workers)
    trainer.fit(classifier, loader)


Validator = Callable[[Classifier], tuple[float, float]]


def _inputs(task: Task, span: Span, classifier: Classifier) -> tuple[TrainingSet, Validator | None]:
    """What is trained on and how it is validated: features where they cannot change, images otherwise."""
    settings, data = task.settings, task.data
    seen: list[np.ndarray] = []
    fixed = not span.online and is_frozen_but_head(classifier.net, classifier.head)
    if fixed and settings.feature_cache and task.features is not None:
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
    where = torch.device(device(task.machine.accelerator))
    return Backbone(
        classifier.net.to(where),
        name=task.settings.net,
        options=task.settings.options,
        mean=classifier.mean.to(where),
        std=classifier.std.to(where),
        view=view,
    )


def _validator(task: Task, seen: list[np.ndarray]) -> Validator:
    """seen: features of the validation images, and of their mirror images where those count; none: images are used."""
    labels = torch.tensor(task.val_labels)

    def validate(classifier: Classifier) -> tuple[float, float]:
        inputs = [_rows(features) for features in seen] or [batches(task.val, task.test_view)]
        found = [logits(classifier, each) for each in inputs]
        out = mean_of(*found) if len(found) == 2 else found[0]
        loss = float(torch.nn.functional.cross_entropy(out, labels))
        return loss, float((out.argmax(1) == labels).double().mean())

    return validate


def _rows(features: np.ndarray) -> Iterator[torch.Tensor]:
    for start in range(0, len(features), BATCH):
        yield torch.from_numpy(np.array(features[start : start + BATCH]))

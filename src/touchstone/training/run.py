"""Training one run: every seed of one model on one arm, resumed where an earlier process was stopped."""

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import safetensors.torch
import torch
from torch.utils.data import DataLoader

from touchstone.arms import TrainingSet
from touchstone.imageset import ImageSet, class_indices
from touchstone.loaders import Batches, View, statistics
from touchstone.models import build
from touchstone.predict import device, logits
from touchstone.sections import Machine, Model
from touchstone.seeds import derive
from touchstone.training.classifier import Classifier
from touchstone.training.keeper import Keeper, Weights, snapshot
from touchstone.training.store import drop_others, folder_of
from touchstone.training.trainer import lean

KEEP = "TOUCHSTONE_KEEP_TRAINED"  # set: a run that ended is not trained anew, though DVC asks for it again


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


@dataclass(frozen=True)
class Task:
    """What all seeds of a run share."""

    title: str
    settings: Model
    data: TrainingSet
    labels: np.ndarray  # int64 (N,)
    val: ImageSet
    val_labels: np.ndarray
    classes: list[str]
    view: View
    mean: list[float]
    std: list[float]
    machine: Machine

    @property
    def num_steps(self) -> int:
        return self.settings.steps(len(self.data), self.settings.batch_size)

    def is_eval(self, step: int) -> bool:
        """Whether to validate after `step` steps: every eval_steps, or at each epoch's end; always at the end."""
        if step == self.num_steps:
            return True
        if self.settings.eval_steps:
            return step % self.settings.eval_steps == 0
        per_step, count = self.settings.batch_size, len(self.data)
        return step * per_step // count > (step - 1) * per_step // count


def task(
    title: str, *, settings: Model, data: TrainingSet, val: ImageSet, meta: dict[str, Any], machine: Machine
) -> Task:
    """Labels, normalisation and view of a run, worked out once. meta: what preparation wrote to meta.json."""
    classes = meta["classes"]
    device(machine.accelerator)  # one that is not there is an error before any work
    mean, std = statistics(data)
    return Task(
        title=title,
        settings=settings,
        data=data,
        labels=class_indices(data.table["label"], classes),
        val=val,
        val_labels=class_indices(val.table["label"], classes),
        classes=classes,
        view=View(size_px=meta["image_size"], input_px=settings.input_size),
        mean=mean,
        std=std,
        machine=machine,
    )


def train(task: Task, *, store: Path, fingerprint: str) -> list[Trained]:
    """Train every seed, but those that `store` holds already with the same `fingerprint`.

    `store` holds one fingerprint at a time: the state of a seed under way, the weights of those that ended. Where
    the very same seeds were delivered before (`delivered`), all are trained anew: the outputs were lost, or the run
    is forced in order to check it.
    """
    folder = folder_of(store, fingerprint)
    if _delivered(folder) == list(task.settings.seeds) and not os.environ.get(KEEP):
        shutil.rmtree(folder)
    drop_others(store, folder)
    torch.set_num_threads(task.settings.num_threads)
    return [_seed(task, seed, folder / f"seed-{seed}") for seed in task.settings.seeds]


def delivered(task: Task, *, store: Path, fingerprint: str) -> None:
    """Note, once a run's outputs are written, that the store has served its purpose."""
    (folder_of(store, fingerprint) / "delivered.json").write_text(json.dumps(task.settings.seeds))


def _delivered(folder: Path) -> list[int]:
    note = folder / "delivered.json"
    return json.loads(note.read_text()) if note.exists() else []


def _seed(task: Task, seed: int, folder: Path) -> Trained:
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "done.json").exists():
        done = json.loads((folder / "done.json").read_text())
        print(f"{task.title} seed {seed}: trained before")
        step, history = done
        weights = safetensors.torch.load_file(folder / "weights.safetensors")
        return Trained(seed, weights, step, history, 0.0)
    trained = train_seed(task, seed=seed, state_file=folder / "state.pt")
    safetensors.torch.save_file(trained.weights, folder / "weights.safetensors")
    (folder / "done.new").write_text(json.dumps([trained.selected_step, trained.history]))
    (folder / "done.new").replace(folder / "done.json")
    (folder / "state.pt").unlink(missing_ok=True)
    return trained


def train_seed(task: Task, *, seed: int, state_file: Path, callbacks: Sequence[pl.Callback] = ()) -> Trained:
    """Train one seed from its start or from `state_file`; `callbacks` may look on.

    Raises TouchstoneError where the loss is not finite.
    """
    settings = task.settings
    torch.manual_seed(derive(seed, "init"))  # the same initial weights for every arm
    channels = task.data.parts[0].shape[3]
    net = build(
        settings.net,
        num_classes=len(task.classes),
        in_channels=channels,
        input_size=settings.input_size,
        options=settings.options,
    )
    classifier = Classifier(net, settings=settings, num_steps=task.num_steps, mean=task.mean, std=task.std)
    keeper = Keeper(
        seed=seed,
        select=settings.select,
        num_steps=task.num_steps,
        steps_per_epoch=len(task.data) / settings.batch_size,
        is_eval=task.is_eval,
        validate=_validator(task) if len(task.val) else None,
        state_file=state_file,
        save_seconds=task.machine.save_seconds,
        title=f"{task.title} seed {seed}",
    )
    keeper.restore(classifier)
    start, began = keeper.progress.step, time.perf_counter()
    if start < task.num_steps:
        lean(task.machine, [keeper, *callbacks]).fit(classifier, _loader(task, seed, start))
    seconds = time.perf_counter() - began
    rate = (task.num_steps - start) * settings.batch_size / seconds
    progress = keeper.progress
    if progress.best is None:
        return Trained(seed, snapshot(classifier.net), task.num_steps, progress.history, rate)
    return Trained(seed, progress.best, progress.best_step, progress.history, rate)


def _loader(task: Task, seed: int, start: int) -> DataLoader:
    batches = Batches(
        task.data,
        task.labels,
        view=task.view,
        batch_size=task.settings.batch_size,
        num_steps=task.num_steps,
        start=start,
        seed=seed,
        crop_padding=task.settings.crop_padding,
        hflip=task.settings.hflip,
    )
    # An item is a whole batch, in the stream's order: no sampler, no collation.
    return DataLoader(batches, batch_size=None, num_workers=task.machine.num_workers)


def _validator(task: Task) -> Callable[[Classifier], tuple[float, float]]:
    def validate(classifier: Classifier) -> tuple[float, float]:
        out = logits(classifier, task.val, view=task.view)
        labels = torch.tensor(task.val_labels)
        loss = float(torch.nn.functional.cross_entropy(out, labels))
        return loss, float((out.argmax(1) == labels).double().mean())

    return validate


def history_table(trained: list[Trained]) -> pd.DataFrame:
    """seed, step, epoch, train_loss and, with a validation split, val_loss, val_accuracy; a row a validation."""
    return pd.concat([pd.DataFrame(t.history).assign(seed=t.seed) for t in trained], ignore_index=True)


def curve(trained: list[Trained]) -> pd.DataFrame:
    """The history's mean over the seeds, a row a validation, as `dvc plots` draws it."""
    table = history_table(trained).drop(columns="seed").groupby("step", as_index=False).mean()
    return table.assign(**{name: table.get(name, np.nan) for name in ("val_loss", "val_accuracy")}).round(6)

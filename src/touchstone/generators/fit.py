"""Fitting a generator to the training images, resumed where an earlier process was stopped."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from touchstone.config.schema.augmentation import Augmentation
from touchstone.config.schema.generator import Fit
from touchstone.config.schema.machine import Machine
from touchstone.data.batches import Batches, View
from touchstone.data.imageset import class_indices, valid_sizes
from touchstone.data.labels import is_multi_label
from touchstone.data.training_set import TrainingSet
from touchstone.errors import TouchstoneError
from touchstone.generators.base import Generative
from touchstone.seeds import generator
from touchstone.training.lightning import SEVERAL, trainer_for
from touchstone.training.loader import loader_of
from touchstone.training.resumable import LoopState, ResumableCallback, read_checkpoint
from touchstone.training.shard import shard_of_process

ROWS = 100  # of the history
GRID_IMAGES, GRID_CLASSES = 80, 20  # images on a sheet of samples, about; classes, at most
EXPLODED = 20.0  # times the loss of the first step
LATE = 0.5  # share of the steps after which samples must differ


@dataclass(frozen=True)
class Fitted:
    """A fitted generator."""

    weights: dict[str, torch.Tensor]
    """The averaged weights."""
    history: pd.DataFrame
    """step, the mean losses since the row before and, where a sheet was drawn, `diversity`; about ROWS rows."""
    grids: dict[int, np.ndarray]
    """Step -> samples, pixels (classes, images of a class, H, W, C)."""
    images_per_second: float
    """0 where nothing was left to do."""


@dataclass
class FitState(LoopState):
    """The state of a fit, apart from the module. `history` and `grids`: as in Fitted."""

    history: list[dict[str, float]] = field(default_factory=list)
    grids: dict[int, torch.Tensor] = field(default_factory=dict)
    sums: dict[str, torch.Tensor] = field(default_factory=dict)
    """The sum of each loss since the last row of the history."""
    count: int = 0
    """The number of steps since the last row."""
    first: dict[str, float] = field(default_factory=dict)
    """The losses of the first step."""

    def kept(self) -> tuple[pd.DataFrame, dict[int, np.ndarray]]:
        """Return the history and the sheets as `Fitted` has them."""
        return pd.DataFrame(self.history).round(6), {step: grid.numpy() for step, grid in self.grids.items()}


def fit(
    module: Generative,
    *,
    settings: Fit,
    data: TrainingSet,
    meta: dict[str, Any],
    machine: Machine,
    state_file: Path,
    title: str,
) -> Fitted:
    """Fit `module` to `data` within the budget of `settings`, from its initial weights or from `state_file`.

    A generator without weights to fit is returned as it is. meta: the content of meta.json. Raises TouchstoneError
    where images may have several labels, on a class without training images, where a loss is not finite or explodes,
    and where the samples of a class no longer differ.
    """
    labels, view = _labels(data, meta, title), View(meta["image_size"], meta["image_size"])
    if not module.is_fitted:
        return Fitted(module.weights(), pd.DataFrame({"step": [], "loss": []}), {}, 0.0)
    num_steps, state = settings.steps(len(data), settings.batch_size), FitState()
    checkpoint = read_checkpoint(state_file)
    if checkpoint is not None:
        module.restore(checkpoint["module"])
        state = FitState(**checkpoint["state"])
        if state.step == num_steps:
            print(f"{title}: fitted before")
            return Fitted(module.weights(), *state.kept(), 0.0)
        print(f"{title}: resumed at step {state.step} of {num_steps}")
    start, began = state.step, time.perf_counter()
    callback = FitCallback(
        module,
        state,
        settings=settings,
        real=_some_of_each_class(data, labels, view),
        seed=settings.seed,
        num_steps=num_steps,
        state_file=state_file,
        save_seconds=machine.save_seconds,
        title=title,
    )
    shard = module.shard = shard_of_process()
    batches = Batches(
        data,
        labels,
        view=view,
        augmentation=Augmentation(hflip=settings.hflip),
        batch_size=settings.batch_size,
        num_steps=num_steps,
        start=start,
        stop=num_steps,
        seed=settings.seed,
        rows=slice(None) if shard is None else shard.rows(settings.batch_size),
    )
    several: Any = {"devices": shard.number, "strategy": SEVERAL} if shard is not None else {}
    several |= {"sync_batch_norm": settings.sync_batch_norm}
    trainer_for(machine, [callback], **several).fit(module, loader_of(batches, machine))
    print(
        f"{title}: {num_steps:,} steps, "
        + ", ".join(f"{name} {value:.3f}" for name, value in state.history[-1].items() if name != "step")
        + f", {time.perf_counter() - began:.0f} s",
        flush=True,
    )
    rate = (num_steps - start) * settings.batch_size / (time.perf_counter() - began)
    return Fitted(module.weights(), *state.kept(), rate)


class FitCallback(ResumableCallback[FitState]):
    """Keeps a fit's history and sheets of samples, and stops a fit that has failed.

    real: training images of the classes shown, pixels (n, H, W, C) each. callback: ResumableCallback's arguments.
    """

    def __init__(
        self, module: Generative, state: FitState, *, settings: Fit, real: dict[int, np.ndarray], **callback: Any
    ) -> None:
        super().__init__(state, **callback)
        self.module, self.settings, self.real = module, settings, real

    @property
    def device(self) -> torch.device:
        return self.module.device

    def checkpoint(self) -> dict[str, Any]:
        return {"module": self.module.state()}

    def begin(self) -> None:
        super().begin()
        self.state.sums = {name: value.to(self.device) for name, value in self.state.sums.items()}

    def end(self) -> None:
        super().end()
        self.save()  # with more replicates, this one is not fitted again

    def save(self) -> None:
        """Write the resume state; of several devices the first one does."""
        if self.module.shard is None or self.module.shard.rank == 0:
            super().save()

    def record(self, outputs: dict[str, torch.Tensor]) -> None:
        """Average the weights, sum the losses and, after each hundredth of the fit, write a row of the history.

        Losses are those of the whole batch.
        """
        state, num_steps = self.state, self.num_steps
        if self.module.shard is not None:
            means = self.module.shard.mean(torch.stack([value.detach() for value in outputs.values()]))
            outputs = dict(zip(outputs, means, strict=True))
        self.module.averaged.update_parameters(self.module.net)
        for name, value in outputs.items():
            state.sums[name] = state.sums.get(name, torch.zeros((), device=self.device)) + value.detach()
        state.count += 1
        if state.step == 1:
            state.first = {name: float(value) for name, value in outputs.items()}
        every = self.settings.grid_steps
        is_grid = state.step == num_steps or bool(every and state.step % every == 0)
        if is_grid or state.step * ROWS // num_steps > (state.step - 1) * ROWS // num_steps:
            self._write_row(is_grid)

    def _write_row(self, is_grid: bool) -> None:
        """Check the losses since the last row and add one to the history, with a sheet of samples where one is due."""
        state = self.state
        row = {"step": state.step} | {name: float(total) / state.count for name, total in state.sums.items()}
        reason = self.module.stuck([*state.history, row])
        if reason:
            raise TouchstoneError(f"{self.title}: collapsed at step {state.step}: {reason}")
        for name, first in state.first.items():
            if not row[name] < EXPLODED * max(1.0, first):  # also where it is NaN
                raise TouchstoneError(
                    f"{self.title}: diverged: {name} is {row[name]:.4g} at step {state.step}, and started at "
                    f"{first:.4g}; lower fit.lr"
                )
        if is_grid:
            grid = self._grid()
            state.grids[state.step] = grid
            row["diversity"] = diversity(grid.numpy(), self.real)
            if state.step > LATE * self.num_steps:
                self._check_diversity(row["diversity"])
        state.history.append(row)
        self.bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
        state.sums, state.count = {}, 0

    def _check_diversity(self, ratio: float) -> None:
        least, most = self.settings.min_diversity, self.settings.max_diversity
        differ = f"at step {self.state.step}: images of a class differ {ratio:.3f} times as much as real ones"
        if ratio < least:
            raise TouchstoneError(
                f"{self.title}: collapsed {differ}, fit.min_diversity is {least}; lower fit.lr, fit longer, or set "
                "another fit.seed"
            )
        if ratio > most:
            raise TouchstoneError(
                f"{self.title}: nothing but noise {differ}, fit.max_diversity is {most}; lower fit.lr, or fit longer"
            )

    def _grid(self) -> torch.Tensor:
        """Sample pixels (classes, images of a class, H, W, C), from the same noise each time.

        On several devices the statistics of batch norms are those of the first one.
        """
        if self.module.shard is not None:
            self.module.shard.share_buffers(self.module)
        per_class = max(2, GRID_IMAGES // len(self.real))
        rows = []
        for label in self.real:
            streams = [generator(self.settings.seed, "grid", label, k) for k in range(per_class)]
            with torch.no_grad():
                self.module.averaged.eval()  # Lightning sets all parts to training mode
                rows.append(self.module.preview(torch.full((per_class,), label), streams))
        return torch.stack(rows)


def diversity(grid: np.ndarray, real: dict[int, np.ndarray]) -> float:
    """Return how much samples of a class differ from one another, relative to real images of it.

    It is the root mean square distance over all pairs of samples of a class, divided by that of real images, as the
    mean over classes whose real images differ; NaN where none do.
    """
    spreads = [(_spread(samples), _spread(images)) for samples, images in zip(grid, real.values(), strict=True)]
    ratios = [of_samples / of_real for of_samples, of_real in spreads if of_real > 0]
    return float(np.mean(ratios)) if ratios else float("nan")


def _spread(images: np.ndarray) -> float:
    """Return the root mean square distance of two images of pixels (n, H, W, C), in their values: sqrt(2) sd."""
    return float(np.sqrt(2 * images.astype(np.float64).var(0, ddof=1).mean())) if len(images) > 1 else 0.0


def _some_of_each_class(data: TrainingSet, labels: np.ndarray, view: View) -> dict[int, np.ndarray]:
    """Return class -> training images (n, S, S, C), for the classes that a sheet shows."""
    images, sizes = {}, valid_sizes(data.table)
    for label in np.unique(labels)[:GRID_CLASSES].tolist():
        rows = np.flatnonzero(labels == label)[:GRID_IMAGES]
        images[label] = view.squares(data.gather(rows), None if sizes is None else sizes[rows])
    return images


def _labels(data: TrainingSet, meta: dict[str, Any], title: str) -> np.ndarray:
    """Return the classes int64 (N,). Raises TouchstoneError on several labels per image or a class without images."""
    if is_multi_label(meta):
        raise TouchstoneError(
            f"generators.{title}: makes images of one class each, and here an image may have several; remove it "
            "from generators and arms (transforms keep all labels)"
        )
    labels = class_indices(data.table["label"], meta["classes"])
    for i, name in enumerate(meta["classes"]):
        if not (labels == i).any():
            raise TouchstoneError(f"{title}: class {name} has no training images for a generator to learn from")
    return labels

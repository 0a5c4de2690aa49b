"""Fitting a generator on the training split, resumed where an earlier process was stopped."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader

from touchstone.config.generator import Fit
from touchstone.config.sections import Machine
from touchstone.data.augment import Online
from touchstone.data.batches import Batches, View
from touchstone.data.imageset import class_indices, valid_sizes
from touchstone.data.labels import is_multi_label
from touchstone.data.training_set import TrainingSet
from touchstone.errors import TouchstoneError
from touchstone.generators.base import Generative
from touchstone.seeds import generator
from touchstone.training import steps
from touchstone.training.trainer import Hooks, lean

ROWS = 100  # of the history
GRID_IMAGES = 80  # of a sheet of samples, about
GRID_CLASSES = 20  # shown on it, at most
EXPLODED = 20.0  # times the loss before the first step
LATE = 0.5  # share of the steps after which the samples have to differ

Grid = np.ndarray  # uint8 (classes, images of a class, H, W, C)


@dataclass(frozen=True)
class Fitted:
    """weights: the averaged ones. history: a row each hundredth of the way: step, the losses' means, and `diversity`
    where a sheet was drawn. grids: step -> samples. images_per_second: 0 where nothing was left to do."""

    weights: dict[str, torch.Tensor]
    history: pd.DataFrame
    grids: dict[int, Grid]
    images_per_second: float


@dataclass
class Progress(steps.Progress):
    """All there is to a fit besides the module. sums: of the losses since the last row, of which there were `count`;
    first: the losses of the first step."""

    history: list[dict[str, float]] = field(default_factory=list)
    grids: dict[int, torch.Tensor] = field(default_factory=dict)
    sums: dict[str, torch.Tensor] = field(default_factory=dict)
    count: int = 0
    first: dict[str, float] = field(default_factory=dict)


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
    """Fit `module` for the budget of `settings` on `data`, from its start or from `state_file`.

    meta: what preparation wrote to meta.json. Raises TouchstoneError where images may have several labels, on a class
    without training images, where a loss is not finite or explodes, and where the samples of a class have become alike
    (collapse).
    """
    labels = _labels(data, meta, title)
    view = View(meta["image_size"], meta["image_size"])
    num_steps = settings.steps(len(data), settings.batch_size)
    fitter = Fitter(
        settings=settings,
        real=_some_of_each_class(data, labels, view),
        seed=settings.seed,
        num_steps=num_steps,
        state_file=state_file,
        save_seconds=machine.save_seconds,
        title=title,
    )
    fitter.restore(module)
    start, began = fitter.progress.step, time.perf_counter()
    batches = Batches(
        data,
        labels,
        view=view,
        online=Online(hflip=settings.hflip),
        batch_size=settings.batch_size,
        num_steps=num_steps,
        start=start,
        stop=num_steps,
        seed=settings.seed,
    )
    if start < num_steps:
        lean(machine, [Hooks(fitter)]).fit(
            module, DataLoader(batches, batch_size=None, num_workers=machine.num_workers)
        )
    rate = (num_steps - start) * settings.batch_size / (time.perf_counter() - began)
    grids = {step: grid.numpy() for step, grid in fitter.progress.grids.items()}
    return Fitted(module.weights(), pd.DataFrame(fitter.progress.history).round(6), grids, rate)


class Fitter(steps.Steps):
    """Keeps a fit's history and sheets of samples, and stops a fit that has failed.

    real: training images of the classes shown, uint8 (n, H, W, C) each. Further arguments: those of `Steps`.
    """

    progress: Progress

    def __init__(self, *, settings: Fit, real: dict[int, np.ndarray], **stepping: Any) -> None:
        super().__init__(**stepping)
        self.settings, self.real = settings, real
        self.progress = Progress()

    def begin(self, trainee: steps.Trainee) -> None:
        super().begin(trainee)
        self.progress.sums = {name: value.to(trainee.device) for name, value in self.progress.sums.items()}

    def after_step(self, trainee: Any, outputs: dict[str, torch.Tensor]) -> None:
        p, module = self.progress, trainee
        module.averaged.update_parameters(module.net)
        for name, value in outputs.items():
            p.sums[name] = p.sums.get(name, torch.zeros((), device=module.device)) + value.detach()
        p.count += 1
        if p.step == 1:
            p.first = {name: float(value) for name, value in outputs.items()}
        is_grid = p.step == self.num_steps or bool(self.settings.grid_steps and p.step % self.settings.grid_steps == 0)
        if is_grid or p.step * ROWS // self.num_steps > (p.step - 1) * ROWS // self.num_steps:
            self._record(module, is_grid)

    def _record(self, module: Generative, is_grid: bool) -> None:
        p = self.progress
        row = {"step": p.step} | {name: float(total) / p.count for name, total in p.sums.items()}
        reason = module.stuck([*p.history, row])
        if reason:
            raise TouchstoneError(f"{self.title}: collapsed at step {p.step}: {reason}")
        self._check_losses(row)
        if is_grid:
            grid = self._grid(module)
            p.grids[p.step] = grid
            row["diversity"] = diversity(grid.numpy(), self.real)
            self._check_diversity(row)
        p.history.append(row)
        self.bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
        p.sums, p.count = {}, 0

    def _check_losses(self, row: dict[str, float]) -> None:
        for name, first in self.progress.first.items():
            if not row[name] < EXPLODED * max(1.0, first):
                raise TouchstoneError(
                    f"{self.title}: diverged: {name} is {row[name]:.4g} at step {int(row['step'])}, it started at "
                    f"{first:.4g}; lower fit.lr"
                )

    def _check_diversity(self, row: dict[str, float]) -> None:
        s, found, step = self.settings, row["diversity"], int(row["step"])
        if step <= LATE * self.num_steps:
            return
        differ = f"at step {step}: images of a class differ {found:.3f} times as much as real ones"
        if found < s.min_diversity:
            raise TouchstoneError(
                f"{self.title}: collapsed {differ}, fit.min_diversity is {s.min_diversity}; lower fit.lr, fit longer, "
                "or another fit.seed"
            )
        if found > s.max_diversity:
            raise TouchstoneError(
                f"{self.title}: nothing but noise {differ}, fit.max_diversity is {s.max_diversity}; lower fit.lr, or "
                "fit longer"
            )

    def _grid(self, module: Generative) -> torch.Tensor:
        """uint8 (classes, images of a class, H, W, C), from the same noise each time."""
        per_class = max(2, GRID_IMAGES // len(self.real))
        rows = []
        for label in self.real:
            streams = [generator(self.settings.seed, "grid", label, k) for k in range(per_class)]
            with torch.no_grad():
                module.averaged.eval()  # Lightning puts every part in training mode
                rows.append(module.preview(torch.full((per_class,), label), streams))
        return torch.stack(rows)


def diversity(grid: np.ndarray, real: dict[int, np.ndarray]) -> float:
    """How much samples of a class differ, relative to real images of it: root mean square distance over all pairs of
    a class, over that of the real ones; the mean over classes whose real images differ. NaN where none do."""
    pairs = [(_spread(made), _spread(there)) for made, there in zip(grid, real.values(), strict=True)]
    ratios = [made / there for made, there in pairs if there > 0]
    return float(np.mean(ratios)) if ratios else float("nan")


def _spread(images: np.ndarray) -> float:
    """Root mean square distance of two of the images, uint8 (n, H, W, C), in grey levels: sqrt(2) sd."""
    return float(np.sqrt(2 * images.astype(np.float64).var(0, ddof=1).mean())) if len(images) > 1 else 0.0


def _some_of_each_class(data: TrainingSet, labels: np.ndarray, view: View) -> dict[int, np.ndarray]:
    found = {}
    sizes = valid_sizes(data.table)
    for label in np.unique(labels)[:GRID_CLASSES].tolist():
        rows = np.flatnonzero(labels == label)[:GRID_IMAGES]
        found[label] = view.squares(data.gather(rows), None if sizes is None else sizes[rows])
    return found


def _labels(data: TrainingSet, meta: dict[str, Any], title: str) -> np.ndarray:
    """int64 (N,); raises TouchstoneError on several labels an image and on a class without images."""
    if is_multi_label(meta):
        raise TouchstoneError(
            f"generators.{title}: makes images of one class each, and here an image may have several; take it out of "
            "generators and arms (transforms keep all labels)"
        )
    labels = class_indices(data.table["label"], meta["classes"])
    for i, name in enumerate(meta["classes"]):
        if not (labels == i).any():
            raise TouchstoneError(f"{title}: class {name} has no training images; a generator learns from them")
    return labels

"""Training one run: every seed of one model on one arm."""

import json
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch

from touchstone.models.runs import Card, save_run
from touchstone.training.divergence import Divergence
from touchstone.training.seed import Trained, train_seed
from touchstone.training.store import delivered, folder_of, opened
from touchstone.training.task import Task


def train(task: Task, *, store: Path, fingerprint: str) -> list[Trained]:
    """Train every seed, but those that `store` holds already with the same `fingerprint`.

    `store` holds one fingerprint at a time: the state of a seed under way, the weights of those that ended. Where
    the very same seeds were delivered before (`done`), all are trained anew: the outputs were lost, or the run is
    forced in order to check it.
    """
    folder = opened(store, fingerprint, asked=_asked(task))
    torch.set_num_threads(task.settings.num_threads)
    return [_seed(task, seed, folder / _name(task, seed)) for seed in task.settings.seeds]


def done(task: Task, *, store: Path, fingerprint: str) -> None:
    """Note, once a run's outputs are written, that the store has served its purpose."""
    delivered(folder_of(store, fingerprint), _asked(task))


def _name(task: Task, seed: int) -> str:
    """Of a seed's folder: what it starts from belongs to it alone, so that a new seed trains no other anew."""
    return f"seed-{seed}" if task.start is None else f"seed-{seed}-{task.start.weights[str(seed)][:16]}"


def _asked(task: Task) -> str:
    return json.dumps(task.settings.seeds)


def _seed(task: Task, seed: int, folder: Path) -> Trained:
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "done.json").exists():
        step, history, diverged = json.loads((folder / "done.json").read_text())
        print(f"{task.title} seed {seed}: trained before")
        weights = safetensors.torch.load_file(folder / "weights.safetensors")
        return Trained(seed, weights, step, history, 0.0, None if diverged is None else Divergence(**diverged))
    trained = train_seed(task, seed=seed, state_file=folder / "state.pt")
    safetensors.torch.save_file(trained.weights, folder / "weights.safetensors")
    diverged = None if trained.diverged is None else asdict(trained.diverged)
    (folder / "done.new").write_text(json.dumps([trained.selected_step, trained.history, diverged]))
    (folder / "done.new").replace(folder / "done.json")
    (folder / "state.pt").unlink(missing_ok=True)
    return trained


def deliver(folder: Path, task: Task, trained: list[Trained], *, meta: dict[str, Any]) -> None:
    """Write a run's card and weights into the existing `folder`; meta: what preparation wrote to meta.json."""
    card = Card.of(
        task.settings,
        mean=task.mean,
        std=task.std,
        selected_step={str(t.seed): t.selected_step for t in trained},
        diverged=task.failed_starts | {str(t.seed): str(t.diverged) for t in trained if t.diverged is not None},
        meta=meta,
    )
    save_run(folder, card, {t.seed: t.weights for t in trained})


def history_table(trained: list[Trained]) -> pd.DataFrame:
    """seed, step, epoch, train_loss, lr and, with a validation split, its measures: val_loss, val_accuracy and, with
    several labels an image, val_map; a row a validation."""
    return pd.concat([pd.DataFrame(t.history).assign(seed=t.seed) for t in trained], ignore_index=True)


def curve(trained: list[Trained], *, left_out: Collection[str] = ()) -> pd.DataFrame:
    """The history's mean over the seeds, a row a validation, as `dvc plots` draws it.

    Where a seed stopped early the mean goes on over the others; seeds that diverged, and those `left_out`, are left
    out, unless all are.
    """
    table = (
        history_table([t for t in trained if t.diverged is None and str(t.seed) not in left_out] or trained)
        .drop(columns="seed")
        .groupby("step", as_index=False)
        .mean()
    )
    return table.assign(**{name: table.get(name, np.nan) for name in ("val_loss", "val_accuracy")}).round(6)

"""Training one run: every seed of one model on one arm."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors.torch
import torch

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
    return [_seed(task, seed, folder / f"seed-{seed}") for seed in task.settings.seeds]


def done(task: Task, *, store: Path, fingerprint: str) -> None:
    """Note, once a run's outputs are written, that the store has served its purpose."""
    delivered(folder_of(store, fingerprint), _asked(task))


def _asked(task: Task) -> str:
    return json.dumps(task.settings.seeds)


def _seed(task: Task, seed: int, folder: Path) -> Trained:
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "done.json").exists():
        step, history = json.loads((folder / "done.json").read_text())
        print(f"{task.title} seed {seed}: trained before")
        weights = safetensors.torch.load_file(folder / "weights.safetensors")
        return Trained(seed, weights, step, history, 0.0)
    trained = train_seed(task, seed=seed, state_file=folder / "state.pt")
    safetensors.torch.save_file(trained.weights, folder / "weights.safetensors")
    (folder / "done.new").write_text(json.dumps([trained.selected_step, trained.history]))
    (folder / "done.new").replace(folder / "done.json")
    (folder / "state.pt").unlink(missing_ok=True)
    return trained


def history_table(trained: list[Trained]) -> pd.DataFrame:
    """seed, step, epoch, train_loss and, with a validation split, val_loss, val_accuracy; a row a validation."""
    return pd.concat([pd.DataFrame(t.history).assign(seed=t.seed) for t in trained], ignore_index=True)


def curve(trained: list[Trained]) -> pd.DataFrame:
    """The history's mean over the seeds, a row a validation, as `dvc plots` draws it."""
    table = history_table(trained).drop(columns="seed").groupby("step", as_index=False).mean()
    return table.assign(**{name: table.get(name, np.nan) for name in ("val_loss", "val_accuracy")}).round(6)

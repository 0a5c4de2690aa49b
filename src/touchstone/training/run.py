"""The training and delivery of a run: every seed of one model on one arm."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch

from touchstone.models.runs import RunMetadata, save_run
from touchstone.training.divergence import Divergence
from touchstone.training.loop import Trained, train_seed
from touchstone.training.probe import fit_probe, is_repeated
from touchstone.training.resume import DONE, only_folder, open_checkpoint
from touchstone.training.setup import TrainingRun
from touchstone.training.shard import shard_of_process, train_on_devices

WEIGHTS = "weights.safetensors"


def train(run: TrainingRun, *, store: Path, fingerprint: str, seeds: Sequence[int] | None = None) -> list[Trained]:
    """Train every seed that `store` does not hold yet under the same `fingerprint`, or only the given ones of them.

    `store` holds the resume state of a seed under way, and the weights of seeds that ended, which processes that each
    train some of the seeds may share. Where the same seeds were delivered before (`mark_complete`), all are trained
    again: their outputs were lost, or the stage was forced to run as a check.
    """
    folder = open_checkpoint(store, fingerprint, request=request_of(run))
    torch.set_num_threads(run.settings.num_threads)
    if run.settings.probe is not None:
        return _fit_probes(run, folder)
    return [_train_or_load(run, seed, folder) for seed in (run.settings.seeds if seeds is None else seeds)]


def _fit_probes(run: TrainingRun, store: Path) -> list[Trained]:
    """Fit the probe of each seed; those that have the images and the weights of the first one are the same."""
    fitted: list[Trained] = []
    for seed in run.settings.seeds:
        again = is_repeated(run, seed)
        fitted.append(replace(fitted[0], seed=seed) if again else _train_or_load(run, seed, store))
    return fitted


def request_of(run: TrainingRun) -> str:
    """The request that `mark_complete` notes once a run is delivered: its seeds."""
    return json.dumps(run.settings.seeds)


def _train_or_load(run: TrainingRun, seed: int, store: Path) -> Trained:
    folder = only_folder(store, f"seed-{seed}", *run.own_inputs(seed))
    done, weights = folder / DONE, folder / WEIGHTS
    if done.exists():
        print(f"{run.title} seed {seed}: trained before")
        return _loaded(seed, folder)
    shard = shard_of_process()
    if run.settings.devices > 1 and shard is None:
        train_on_devices(run.settings.devices, seed=seed, title=f"{run.title} seed {seed}")
        return _loaded(seed, folder)
    if run.settings.probe is None:
        trained = train_seed(run.of_seed(seed), seed=seed, state_file=folder / "state.pt", shard=shard)
    else:
        trained = fit_probe(run.of_seed(seed), seed=seed)
    if shard is not None and shard.rank:
        return trained  # the first process leaves it in the store
    safetensors.torch.save_file(trained.weights, weights)
    fields = None if trained.diverged is None else asdict(trained.diverged)
    done.with_suffix(".new").write_text(json.dumps([trained.selected_step, trained.history, fields]))
    done.with_suffix(".new").replace(done)
    (folder / "state.pt").unlink(missing_ok=True)
    return trained


def _loaded(seed: int, folder: Path) -> Trained:
    """Read what a seed left in its folder of the store."""
    step, history, fields = json.loads((folder / DONE).read_text())
    diverged = None if fields is None else Divergence(**fields)
    return Trained(seed, safetensors.torch.load_file(folder / WEIGHTS), step, history, 0.0, diverged)


def deliver(folder: Path, run: TrainingRun, trained: list[Trained], *, meta: dict[str, Any]) -> None:
    """Write a run's metadata and weights into the existing `folder`. meta: the content of meta.json."""
    metadata = RunMetadata.of(
        run.settings,
        mean=run.mean,
        std=run.std,
        normalisations={str(seed): [one.mean, one.std] for seed, one in run.replicates.items()},
        selected_step={str(t.seed): t.selected_step for t in trained},
        diverged=run.failed_starts | {str(t.seed): str(t.diverged) for t in trained if t.diverged is not None},
        meta=meta,
    )
    save_run(folder, metadata, {t.seed: t.weights for t in trained})


def history_table(trained: list[Trained]) -> pd.DataFrame:
    """Return the histories as a table, with a column `seed` and a row for each validation of each seed."""
    return pd.concat([pd.DataFrame(t.history).assign(seed=t.seed) for t in trained], ignore_index=True)


def curve(trained: list[Trained], *, left_out: Collection[str] = ()) -> pd.DataFrame:
    """Return the mean history over the replicates, a row for each validation, for `dvc plots`.

    Where a seed stopped early the mean continues over the others. Seeds that diverged, and those `left_out`, do not
    count, unless none would. The rows of a probe are for each C, with the share of the replicates that chose it.
    """
    if any("C" in row for t in trained for row in t.history):
        table = history_table(trained).drop(columns="seed").groupby("C").mean().round(6)
        return table.reset_index()
    sound = [t for t in trained if t.diverged is None and str(t.seed) not in left_out]
    table = history_table(sound or trained).drop(columns="seed").groupby("step", as_index=False).mean()
    return table.assign(**{name: table.get(name, np.nan) for name in ("val_loss", "val_accuracy")}).round(6)

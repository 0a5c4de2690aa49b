"""Probs on disk: .npy (seeds, N, classes), float32, or float64 of several labels; predictions for people."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from touchstone.config.params import Params
from touchstone.data.labels import join
from touchstone.errors import TouchstoneError
from touchstone.evaluation.thresholds import decided


def load_probs(folder: Path, names: Iterable[str], split: str) -> dict[str, np.ndarray]:
    """name -> (seeds, N, classes) of `folder/<name>/<split>.npy`; TouchstoneError where one is missing."""
    out = {}
    for name in names:
        file = folder / name / f"{split}.npy"
        try:
            out[name] = np.load(file, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise TouchstoneError(f"{file}: no readable predictions ({error}); run `dvc repro`") from error
    return out


def load_diverged(folder: Path, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """name -> seed -> how its training diverged, of `folder/<name>/diverged.json`.

    Raises TouchstoneError where that is missing.
    """
    out = {}
    for name in names:
        file = folder / name / "diverged.json"
        try:
            out[name] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TouchstoneError(f"{file}: not readable ({error}); run `dvc repro`") from error
    return out


def load_weights(folder: Path) -> dict[str, float]:
    """The weights of an ensemble's members, of `folder/weights.json`; TouchstoneError where that is missing."""
    try:
        return json.loads((folder / "weights.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TouchstoneError(
            f"{folder}: no readable weights of members ({error}); run `dvc repro ensemble`"
        ) from error


def load_every_weights(folder: Path, params: Params) -> dict[str, dict[str, float]]:
    """Of each ensemble below `folder` whose rule finds weights."""
    found = (name for name, ensemble in params.ensembles.items() if ensemble.finds_weights)
    return {name: load_weights(folder / name) for name in found}


def load_all(data: Path, params: Params, split: str) -> dict[str, np.ndarray]:
    """The Probs of every declared run and ensemble below `data`."""
    return load_probs(data / "probs", params.runs, split) | load_probs(data / "ensembles", params.ensembles, split)


def predictions(
    probs: np.ndarray, files: list[str], classes: list[str], thresholds: np.ndarray | None = None
) -> pd.DataFrame:
    """file, label, probability, sorted by file: the mean over the seeds of (seeds, N, classes) decides.

    With thresholds (classes,) an image may have several labels, joined by `|`, or none; in the place of one probability
    there is a column `p(<class>)` for each class.
    """
    mean = probs.mean(0, dtype=np.float64)  # (N, classes)
    if thresholds is not None:
        labels = [join([classes[k] for k in np.flatnonzero(row)]) for row in decided(mean, thresholds)]
        every = pd.DataFrame(mean.round(4), columns=[f"p({name})" for name in classes])
        table = pd.concat([pd.DataFrame({"file": files, "label": labels}), every], axis=1)
        return table.sort_values("file").reset_index(drop=True)
    best = mean.argmax(1) if len(mean) else np.zeros(0, np.int64)
    table = pd.DataFrame({"file": files, "label": [classes[i] for i in best]})
    table["probability"] = mean[np.arange(len(best)), best].round(4)
    return table.sort_values("file").reset_index(drop=True)

"""Predictions on disk, and as tables for people.

A .npy file holds probabilities (seeds, N, classes): float32, or float64 for a majority vote on several labels.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from touchstone.config.settings import Settings
from touchstone.data.labels import join
from touchstone.errors import TouchstoneError
from touchstone.evaluation.thresholds import decided


def load_probs(folder: Path, names: Iterable[str], split: str) -> dict[str, np.ndarray]:
    """Name -> (seeds, N, classes), from `folder/<name>/<split>.npy`.

    Raises TouchstoneError where a file is missing or not readable.
    """
    out = {}
    for name in names:
        file = folder / name / f"{split}.npy"
        try:
            out[name] = np.load(file, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise TouchstoneError(f"{file}: no readable predictions ({error}); run `dvc repro`") from error
    return out


def load_diverged(folder: Path, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Name -> seed -> how its training diverged, from `folder/<name>/diverged.json`.

    Raises TouchstoneError where a file is missing or not readable.
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
    """Member -> weight in an ensemble, from `folder/weights.json`.

    Raises TouchstoneError where that is missing or not readable.
    """
    try:
        return json.loads((folder / "weights.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TouchstoneError(
            f"{folder}: no readable weights of its members ({error}); run `dvc repro ensemble`"
        ) from error


def load_every_weights(folder: Path, settings: Settings) -> dict[str, dict[str, float]]:
    """Ensemble -> member -> weight, for the ensembles below `folder` whose rule finds weights."""
    names = (name for name, ensemble in settings.ensembles.items() if ensemble.finds_weights)
    return {name: load_weights(folder / name) for name in names}


def load_all(data: Path, settings: Settings, split: str) -> dict[str, np.ndarray]:
    """The predictions of every declared run and ensemble below `data`, by name."""
    return load_probs(data / "probs", settings.runs, split) | load_probs(data / "ensembles", settings.ensembles, split)


def predictions(
    probs: np.ndarray, files: list[str], classes: list[str], thresholds: np.ndarray | None = None
) -> pd.DataFrame:
    """A table of file, label and probability, sorted by file, from the mean over the seeds of (seeds, N, classes).

    With thresholds (classes,) an image may have several labels, joined by `|`, or none, and a column `p(<class>)` for
    each class takes the place of probability.
    """
    mean = probs.mean(0, dtype=np.float64)  # (N, classes)
    if thresholds is not None:
        labels = [join([classes[k] for k in np.flatnonzero(row)]) for row in decided(mean, thresholds)]
        columns = pd.DataFrame(mean.round(4), columns=[f"p({name})" for name in classes])
        table = pd.concat([pd.DataFrame({"file": files, "label": labels}), columns], axis=1)
        return table.sort_values("file").reset_index(drop=True)
    best = mean.argmax(1) if len(mean) else np.zeros(0, np.int64)
    table = pd.DataFrame({"file": files, "label": [classes[i] for i in best]})
    table["probability"] = mean[np.arange(len(best)), best].round(4)
    return table.sort_values("file").reset_index(drop=True)

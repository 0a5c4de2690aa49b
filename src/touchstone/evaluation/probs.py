"""Predictions on disk, and as tables for people.

A .npy file holds probabilities (seeds, N, K): float32, or float64 for a majority vote.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from touchstone.config.settings import Settings
from touchstone.data.labels import join
from touchstone.errors import TouchstoneError
from touchstone.evaluation.ensembles import replicate_mean


@contextmanager
def _explained(fault: str, remedy: str = "dvc repro") -> Iterator[None]:
    """Turn the error of a file that is missing or not readable into a TouchstoneError."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise TouchstoneError(f"{fault} ({error}); run `{remedy}`") from error


def load_probs(folder: Path, names: Iterable[str], split: str) -> dict[str, np.ndarray]:
    """Name -> (seeds, N, K), from `folder/<name>/<split>.npy`. Raises TouchstoneError, as the functions below."""
    out = {}
    for name in names:
        file = folder / name / f"{split}.npy"
        with _explained(f"{file}: no readable predictions"):
            out[name] = np.load(file, allow_pickle=False)
    return out


def load_all(data: Path, settings: Settings, split: str) -> dict[str, np.ndarray]:
    """The predictions of every declared run and ensemble below `data`, by name."""
    return load_probs(data / "probs", settings.runs, split) | load_probs(data / "ensembles", settings.ensembles, split)


def load_diverged(folder: Path, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Name -> seed -> how its training diverged, from `folder/<name>/diverged.json`."""
    out = {}
    for name in names:
        file = folder / name / "diverged.json"
        with _explained(f"{file}: not readable"):
            out[name] = json.loads(file.read_text(encoding="utf-8"))
    return out


def load_weights(folder: Path) -> dict[str, float]:
    """Member -> weight in an ensemble, from `folder/weights.json`."""
    with _explained(f"{folder}: no readable weights of its members", "dvc repro ensemble"):
        return json.loads((folder / "weights.json").read_text(encoding="utf-8"))


def load_every_weights(folder: Path, settings: Settings) -> dict[str, dict[str, float]]:
    """Ensemble -> member -> weight, for the ensembles below `folder` whose rule finds weights."""
    names = (name for name, ensemble in settings.ensembles.items() if ensemble.finds_weights)
    return {name: load_weights(folder / name) for name in names}


def predictions(
    probs: np.ndarray, files: list[str], classes: list[str], thresholds: np.ndarray | None = None, *, top: int = 1
) -> pd.DataFrame:
    """A table of file, label and probability, sorted by file, from the mean over the replicates of (seeds, N, K).

    With thresholds (K,) an image may have several labels, joined by `|`, or none, and a column `p(<class>)` for each
    class takes the place of probability. Without them, the `top` most probable classes have columns label_2,
    probability_2 and so on.
    """
    mean = replicate_mean(probs)
    if thresholds is not None:
        labels = [join([classes[k] for k in np.flatnonzero(row)]) for row in mean >= thresholds]
        columns = pd.DataFrame(mean.round(4), columns=[f"p({name})" for name in classes])
        table = pd.concat([pd.DataFrame({"file": files, "label": labels}), columns], axis=1)
    else:
        order = np.argsort(-mean, axis=1, kind="stable")
        table = pd.DataFrame({"file": files})
        for place in range(min(top, len(classes))):
            end = f"_{place + 1}" if place else ""
            table[f"label{end}"] = [classes[k] for k in order[:, place]]
            table[f"probability{end}"] = mean[np.arange(len(mean)), order[:, place]].round(4)
    return table.sort_values("file").reset_index(drop=True)

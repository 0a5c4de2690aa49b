"""Predict a folder of images with a trained run or ensemble, decoded and resized as the pipeline does it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from tqdm import tqdm

from touchstone.config.settings import Settings
from touchstone.data.as_prepared import Preparation, as_prepared
from touchstone.data.image_files import opened
from touchstone.data.imageset import read_table
from touchstone.data.labels import encode
from touchstone.data.reading import Read
from touchstone.errors import TouchstoneError, nearest
from touchstone.evaluation.ensembles import combine, tie_breaker, without_diverged
from touchstone.evaluation.metrics import primary_key
from touchstone.evaluation.probs import load_probs, load_weights, predictions
from touchstone.evaluation.thresholds import member_thresholds, thresholds_of
from touchstone.models.device import device
from touchstone.models.predict import BATCH
from touchstone.models.predict_images import predict_images
from touchstone.models.runs import Predictor, RunMetadata, load_nets, load_run_metadata


class Reads(Preparation, Protocol):
    """The images that a model reads, and its classes."""

    @property
    def classes(self) -> list[str]: ...


class Classifier(Protocol):
    """Anything that `predict_folder` can ask: a trained model, or an exported file."""

    @property
    def metadata(self) -> Reads: ...
    @property
    def thresholds(self) -> np.ndarray | None: ...
    def predict(self, images: list[np.ndarray]) -> np.ndarray: ...


@dataclass(frozen=True)
class Combination:
    """The rule by which the predictions of an ensemble's members become its own; see `combine`."""

    rule: str
    prefer: str
    thresholds: dict[str, np.ndarray] | None
    weights: dict[str, float] | None

    def __call__(self, members: dict[str, np.ndarray]) -> np.ndarray:
        return combine(self.rule, members, prefer=self.prefer, thresholds=self.thresholds, weights=self.weights)


@dataclass(frozen=True)
class TrainedModel:
    """A run, or an ensemble of runs, that is loaded and ready to predict."""

    members: dict[str, tuple[RunMetadata, list[Predictor]]]
    """Run -> its description and the nets of its seeds."""
    combination: Combination | None
    """None for a run."""
    thresholds: np.ndarray | None
    """(K,), with several labels an image."""

    @property
    def metadata(self) -> RunMetadata:
        """The first member's description; all members read images of the same kind."""
        return next(iter(self.members.values()))[0]

    def predict(self, images: list[np.ndarray]) -> np.ndarray:
        """Prepared images, each of pixels (h, w, C) -> probabilities float32 (seeds, B, K)."""
        probs = {name: predict_images(*member, images) for name, member in self.members.items()}
        return next(iter(probs.values())) if self.combination is None else self.combination(probs)


def load_model(name: str, *, params: Settings, data: Path, option: str = "--model") -> TrainedModel:
    """Load the run or ensemble `name` from `data`, the folder of the stages' outputs. option: names it in errors.

    Raise TouchstoneError where params declare neither, or its weights are missing.
    """
    names = [*params.ensembles, *params.runs]
    if name not in names:
        raise TouchstoneError(f"{option}: got {name!r}, expected one of {', '.join(names)}{nearest(name, names)}")
    ensemble = params.ensembles.get(name)
    declared = list(ensemble.members) if ensemble else [name]
    where = device(params.machine.accelerator)
    cards = {member: load_run_metadata(data / "runs" / member) for member in declared}
    chosen = without_diverged(declared, [member for member, metadata in cards.items() if metadata.diverged])
    members = {m: (cards[m], load_nets(data / "runs" / m, cards[m], device=where)) for m in chosen}
    own, votes = None, None
    if cards[chosen[0]].multi_label:
        meta = {"classes": cards[chosen[0]].classes, "multi_label": True}
        labels = encode(read_table(data / "prepared/val"), meta)
        whole = load_probs(data / ("ensembles" if ensemble else "probs"), [name], "val")[name]
        own = thresholds_of(name, whole, labels, params)
        if ensemble:
            votes = member_thresholds(name, load_probs(data / "probs", chosen, "val"), labels, params)
    if ensemble is None:
        return TrainedModel(members, None, own)
    weights = load_weights(data / "ensembles" / name) if ensemble.finds_weights else None
    prefer = tie_breaker(chosen, ensemble.prefer)
    return TrainedModel(members, Combination(ensemble.rule, prefer, votes, weights), own)


def rows_of(metrics: Path) -> dict[str, Any]:
    """Return the content of a metrics.json, run or ensemble -> scores. Raises TouchstoneError where it is damaged."""
    try:
        rows: dict[str, Any] = json.loads(metrics.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TouchstoneError(f"{metrics}: not readable as JSON ({error}); run `touchstone repro`") from error
    return rows


def best_on_validation(params: Settings, metrics: Path) -> tuple[str, str]:
    """Return the run or ensemble with the highest validation score in a metrics.json, and why it is the one.

    Without validation scores it is the first of those in the file, ensembles before runs. Raises TouchstoneError where
    the file is missing, as nothing has been evaluated then, is damaged, or names other runs alone.
    """
    if not metrics.is_file():
        raise TouchstoneError(f"{metrics}: no such file; run `touchstone repro` first, or name a run with --model")
    names, rows = [*params.ensembles, *params.runs], rows_of(metrics)
    if rows.keys().isdisjoint(names):
        raise TouchstoneError(
            f"{metrics}: has scores of {', '.join(rows)}, but of no run in params.yaml; run `touchstone repro` first, "
            "or name a run with --model"
        )
    scores = {name: rows[name].get(f"val_{primary_key(rows[name])}") for name in names if name in rows}
    found = {name: score for name, score in scores.items() if score is not None}
    if found:
        return max(found, key=lambda name: found[name]), "the best on validation"
    return next(iter(scores)), "the first, as none has validation scores; --model chooses"


def predict_folder(folder: Path, model: Classifier, *, top: int = 1) -> pd.DataFrame:
    """Return the table of `predictions` for every image in a folder or an archive, with a column `error`.

    A file that cannot be read has a row with the reason there and no label. An archive gives the rows of the folder
    that it was made of. Raise TouchstoneError where `folder` is neither, or holds no image that can be read, and where
    `top` asks for more than one class of a model that predicts several labels.
    """
    if top > 1 and model.thresholds is not None:
        raise TouchstoneError(f"--top {top}: this model predicts several labels, with the probability of each class")
    with opened(folder) as (images, unreadable):
        return _predicted(folder, images, unreadable, model, top)


def _predicted(
    folder: Path, readers: dict[str, Read], unreadable: dict[str, str], model: Classifier, top: int
) -> pd.DataFrame:
    files, metadata = list(readers), model.metadata
    names: list[str] = []
    probs: list[np.ndarray] = []
    with tqdm(total=len(files), desc="predict", unit="img", disable=None) as bar:
        for block in (files[start : start + BATCH] for start in range(0, len(files), BATCH)):
            images = {}
            for name in block:
                try:
                    images[name] = as_prepared(readers[name], metadata)
                except (TouchstoneError, OSError) as error:  # BadImage, or an extra that is not installed
                    unreadable[name] = str(error)
            if images:
                names += images
                probs.append(model.predict(list(images.values())))
            bar.update(len(block))
    if not probs:
        file, reason = next(iter(unreadable.items()))
        raise TouchstoneError(f"{folder}: none of its {len(files)} images can be read; the first: {file}: {reason}")
    table = predictions(np.concatenate(probs, 1), names, metadata.classes, model.thresholds, top=top).assign(error="")
    failed = pd.DataFrame({"file": list(unreadable), "error": list(unreadable.values())})
    return pd.concat([table, failed]).sort_values("file").reset_index(drop=True)[list(table)]

"""A linear probe: the head of a frozen net, fitted by logistic regression on cached features.

Its C is chosen by cross-validation in the training images: from the lowest up, until the log loss of the held-out
images has risen for good. Added images are fitted, but only real ones are judged, where the set has any. Neither the
validation images nor the seed play a part: seeds differ only in their images and in the weights that they start from.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from touchstone.errors import TouchstoneError
from touchstone.models.device import device, make_deterministic
from touchstone.models.feature_cache import Backbone
from touchstone.models.linear_head import linear_head
from touchstone.training.classifier import Classifier, build_classifier
from touchstone.training.folds import folds
from touchstone.training.loop import Trained
from touchstone.training.regression import LinearLayer, Regression
from touchstone.training.setup import TrainingRun
from touchstone.training.state import Row

LADDER = tuple(float(f"{10 ** (k / 2):.2g}") for k in range(-12, 9))  # 1e-6 to 1e4, two values a power of ten
PATIENCE = 3  # values of C without a lower log loss, after which no higher ones are tried


def fit_probe(run: TrainingRun, *, seed: int) -> Trained:
    """Fit the head of one seed. The history has a row for each C: its log loss, its accuracy, whether it was chosen.

    Raises TouchstoneError where the net's head is not linear, the initial weights do not fit the net, or there are too
    few images for cross-validation.
    """
    began, probe = time.perf_counter(), run.settings.probe
    if probe is None:
        raise ValueError(f"{run.title}: no probe")
    make_deterministic(run.settings.deterministic)
    classifier = build_classifier(run, seed)
    head = linear_head(classifier.net, classifier.head)
    features = features_of(run, classifier)
    try:
        history = [] if probe.C != "auto" else cross_validated(features, run, number=probe.folds)
        best = chosen(history) if history else float(probe.C)
        layer = fitted(features, run, best)
    except TouchstoneError as error:
        raise TouchstoneError(f"{run.title}: {error}") from error
    _put(layer, head)
    rows = history or [{"C": best}]
    seconds = time.perf_counter() - began
    print(f"{run.title} seed {seed}: C {best:g}{_judged(rows, best)}, {seconds:.1f} s", flush=True)
    return Trained(
        seed=seed,
        weights=classifier.judged_weights(),
        selected_step=0,
        history=[row | {"chosen": float(row["C"] == best)} for row in rows],
        images_per_second=len(run.data) / seconds,
    )


def is_repeated(run: TrainingRun, seed: int) -> bool:
    """Whether a seed's probe is that of the first seed: on the same images, from the same weights."""
    first = run.settings.seeds[0]
    same_weights = bool(run.initial.sha256) and not run.initial.is_run
    return seed != first and same_weights and run.of_seed(seed).data is run.of_seed(first).data


def features_of(run: TrainingRun, classifier: Classifier) -> np.ndarray:
    """Return the features of the training images under the frozen net, float32 (N, D), in their order."""
    settings, data = run.settings, run.data
    classifier = classifier.to(torch.device(device(run.machine.accelerator)))
    own = {"name": settings.net, "options": settings.options, "mean": classifier.mean, "std": classifier.std}
    backbone = Backbone(classifier.net, view=run.view, **own)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as scratch:
        cached = run.features if run.features is not None and settings.feature_cache else Path(scratch)
        pairs = zip(data.parts, data.part_sizes, strict=True)
        parts = [backbone.features(pixels, sizes, folder=cached) for pixels, sizes in pairs]
        out = np.empty((len(data), parts[0].shape[1]), np.float32)
        for number, part in enumerate(parts):
            out[data.part == number] = part[data.row[data.part == number]]
        return out


def cross_validated(features: np.ndarray, run: TrainingRun, *, number: int) -> list[Row]:
    """Return C, log_loss and accuracy of the held-out images of `number` folds, for each C of the ladder that is tried.

    features: float32 (N, D). The loss is that of the run, class weights included. Raises TouchstoneError where a fold
    would leave nothing to fit.
    """
    held_out = folds(run.data.table, number=number)
    if len(held_out) < 2:
        raise TouchstoneError(
            f"probe: C: auto needs images of at least two folds, got {len(features)} images that cannot be separated; "
            "set a number for C"
        )
    everything = np.arange(len(features))
    rests = [np.setdiff1d(everything, rows) for rows in held_out]
    judged = np.flatnonzero(_judgeable(run, list(zip(held_out, rests, strict=True))))
    regressions = [_regression(features, run, rest) for rest in rests]
    history: list[Row] = []
    logits = np.zeros((len(features), len(run.classes)))
    for C in LADDER:
        for rows, regression in zip(held_out, regressions, strict=True):
            logits[rows] = regression.fit(C).logits(features[rows])
        history.append({"C": C} | _measured(logits[judged], judged, run))
        if len(history) - 1 - int(np.argmin([row["log_loss"] for row in history])) >= PATIENCE:
            break
    return history


def fitted(features: np.ndarray, run: TrainingRun, C: float) -> LinearLayer:
    """Return the head of all training images for a C. features: float32 (N, D)."""
    return _regression(features, run, np.arange(len(features))).fit(C)


def chosen(history: list[Row]) -> float:
    """Return the C with the lowest log loss, the lowest such C."""
    return min(history, key=lambda row: (row["log_loss"], row["C"]))["C"]


def _judgeable(run: TrainingRun, fits: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return which images are judged, bool (N,): real ones, where there are any, of classes that are fitted."""
    labels = run.objective.labels
    out = np.zeros(len(labels), bool)
    for rows, rest in fits:
        out[rows] = True if labels.ndim == 2 else np.isin(labels[rows], labels[rest])
    return out & (np.arange(len(labels)) < (run.data.num_real or len(labels)))


def _measured(logits: np.ndarray, rows: np.ndarray, run: TrainingRun) -> Row:
    """Return the log loss and the accuracy of some images. logits: (number of rows, K)."""
    labels = run.objective.labels[rows]
    answers = torch.from_numpy(labels if labels.ndim == 1 else labels.astype(np.float64))
    given = run.objective.class_weights(run.settings.phases[0])
    weights, outputs = None if given is None else torch.from_numpy(given), torch.from_numpy(logits)
    loss = run.objective.loss(outputs, answers, weights=weights)
    return {"log_loss": float(loss), "accuracy": run.objective.validated(outputs, answers)["val_accuracy"]}


def _regression(features: np.ndarray, run: TrainingRun, rows: np.ndarray) -> Regression:
    weights = run.objective.class_weights(run.settings.phases[0])
    return Regression(features, run.objective.labels, rows=rows, num_classes=len(run.classes), weights=weights)


def _put(layer: LinearLayer, head: torch.nn.Linear) -> None:
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(layer.weight).float())
        head.bias.copy_(torch.from_numpy(layer.bias).float())


def _judged(rows: list[Row], best: float) -> str:
    found = next(row for row in rows if row["C"] == best)
    if "log_loss" not in found:
        return " (given)"
    return f" (cross-validated: log loss {found['log_loss']:.3f}, accuracy {100 * found['accuracy']:.1f} %)"

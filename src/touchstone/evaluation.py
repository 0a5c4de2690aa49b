"""All runs and ensembles, scored and compared with their baselines."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from touchstone.compare import Verdict, paired_bootstrap
from touchstone.params import Params
from touchstone.scores import correct, per_class_accuracy, score

DIGITS = 5  # decimals in metrics files: below that is noise, and rounding keeps diffs clean


@dataclass(frozen=True)
class Entry:
    """A run or an ensemble to be evaluated.

    probs: float32 (seeds, N, classes) on test. baseline: the entry it is compared with, "" for none. kind: run or
    ensemble. val_accuracy: on validation, mean over the seeds; None without a validation split.
    """

    name: str
    kind: str
    probs: np.ndarray = field(repr=False)
    baseline: str
    val_accuracy: float | None = None


def entries(
    params: Params, test: dict[str, np.ndarray], val: dict[str, np.ndarray], val_labels: np.ndarray
) -> list[Entry]:
    """Every declared run and ensemble, in the file's order; test and val: name -> Probs.

    A run is compared with its model on the baseline arm; an ensemble with its best member on validation (without
    a validation split: the preferred one, or the first).
    """
    val_accuracy = {name: float(correct(p, val_labels).mean()) for name, p in val.items()} if len(val_labels) else {}
    out = []
    for model in params.models:
        for arm in params.arms:
            name, base = f"{model}-{arm}", f"{model}-{params.compare.baseline}"
            out.append(Entry(name, "run", test[name], "" if name == base else base, val_accuracy.get(name)))
    for name, ensemble in params.ensembles.items():
        best = ensemble.prefer or ensemble.members[0]
        if val_accuracy:
            best = max(ensemble.members, key=val_accuracy.__getitem__)
        out.append(Entry(name, "ensemble", test[name], best, val_accuracy.get(name)))
    return out


def verdict(entry: Entry, test: dict[str, np.ndarray], labels: np.ndarray, params: Params) -> Verdict | None:
    """The paired comparison with the entry's baseline, or None where it has none."""
    if not entry.baseline:
        return None
    return paired_bootstrap(
        correct(entry.probs, labels),
        correct(test[entry.baseline], labels),
        num_resamples=params.compare.num_resamples,
        confidence=params.compare.confidence,
        seed=params.seed,
    )


def evaluate(all_entries: list[Entry], labels: np.ndarray, params: Params) -> dict[str, dict[str, float | str]]:
    """The metrics file: entry -> scores, and gain, gain_low, gain_high, verdict, baseline where it has a baseline."""
    test = {entry.name: entry.probs for entry in all_entries}
    metrics: dict[str, dict[str, float | str]] = {}
    for entry in all_entries:
        row: dict[str, float | str] = {**score(entry.probs, labels)}
        if entry.val_accuracy is not None:
            row["val_accuracy"] = entry.val_accuracy
        found = verdict(entry, test, labels, params)
        if found is not None:
            row |= {"gain": found.gain, "gain_low": found.low, "gain_high": found.high}
            row |= {"verdict": found.word, "baseline": entry.baseline}
        metrics[entry.name] = {
            key: round(value, DIGITS) if isinstance(value, float) else value for key, value in sorted(row.items())
        }
    return metrics


def confusion_table(entry: Entry, labels: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """One row a prediction: actual, predicted; all seeds, as `dvc plots`' confusion template counts them."""
    names = np.array(classes)
    return pd.DataFrame(
        {"actual": np.tile(names[labels], len(entry.probs)), "predicted": names[entry.probs.argmax(2)].ravel()}
    )


def class_table(entry: Entry, labels: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """class, accuracy (the mean over the seeds), n_test; a row a class."""
    accuracy = per_class_accuracy(entry.probs, labels).round(DIGITS)
    counts = np.bincount(labels, minlength=len(classes))
    return pd.DataFrame({"class": classes, "accuracy": accuracy, "n_test": counts})

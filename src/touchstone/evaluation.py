"""All runs and ensembles, scored and compared with their baselines."""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from touchstone import label_scores
from touchstone.compare import INCONCLUSIVE, holm
from touchstone.ensembles import decider, sound
from touchstone.measures import Measure
from touchstone.params import Params
from touchstone.scores import per_class_accuracy
from touchstone.sections import Compare, Ensemble, Transform
from touchstone.thresholds import choose

DIGITS = 5  # decimals in metrics files: below that is noise, and rounding keeps diffs clean


@dataclass(frozen=True)
class Entry:
    """A run or an ensemble to be evaluated.

    probs: float32 (seeds, N, classes) on test. baseline: the entry it is compared with, "" for none. kind: run or
    ensemble. val: the measure on validation, mean over the seeds; None without a validation split. diverged: of how
    many seeds training diverged; of an ensemble, of which members, where it leaves less than two; "" of none.
    left_out: members that are. thresholds: (K,), where an image may have several labels. family: whose comparisons are
    judged together, "" for one by itself. control: a run on plain copies, the gain over which is told apart.
    """

    name: str
    kind: str
    probs: np.ndarray = field(repr=False)
    baseline: str
    val: float | None = None
    diverged: str = ""
    left_out: tuple[str, ...] = ()
    thresholds: np.ndarray | None = field(default=None, repr=False)
    family: str = ""
    control: str = ""


def entries(
    params: Params,
    test: dict[str, np.ndarray],
    val: dict[str, np.ndarray],
    val_labels: np.ndarray,
    diverged: dict[str, dict[str, str]],
    *,
    measure: Measure,
) -> list[Entry]:
    """Every declared run and ensemble, in the file's order; test and val: name -> Probs. diverged: `load_diverged`.

    A run is compared with its model on the baseline arm; on that arm with what compare.against names, and a finetune
    otherwise with the run it started from. An ensemble is compared with its best member on validation (without a
    validation split: the preferred one, or the first), of those that it is made of.
    """
    on_val = {name: measure.value(p, val_labels) for name, p in val.items()} if len(val_labels) else {}
    copies = copy_arm(params)
    out = []
    for model in params.trained:
        for arm in params.arms:
            name, base = f"{model}-{arm}", params.baseline(model, arm)
            failed = f"{len(diverged[name])} of {_seeds(len(test[name]))}" if diverged[name] else ""
            entry = Entry(name, "run", test[name], base, on_val.get(name), failed)
            if arm not in (params.compare.baseline, copies):
                control = f"{model}-{copies}" if copies else ""
                entry = replace(entry, family=model, control=control)
            out.append(entry)
    for name, ensemble in params.ensembles.items():
        out.append(_ensemble(name, ensemble, test[name], on_val, [run for run, seeds in diverged.items() if seeds]))
    if val_labels.ndim == 1:
        return out
    return [
        replace(entry, thresholds=choose(val[entry.name], val_labels, rule=params.thresholds(entry.name)))
        for entry in out
    ]


def copy_arm(params: Params) -> str:
    """The arm that adds plain copies to the real images: a control that must not help; "" where there is none."""
    for name, arm in params.arms.items():
        plain = all(params.transforms.get(addition) == Transform() for addition in arm.add)
        if arm.real and arm.add and plain and name != params.compare.baseline:
            return name
    return ""


def _ensemble(name: str, ensemble: Ensemble, probs: np.ndarray, on_val: dict[str, float], diverged: list[str]) -> Entry:
    members = sound(ensemble.members, diverged)
    best = max(members, key=on_val.__getitem__) if on_val else decider(members, ensemble.prefer)
    left_out = tuple(member for member in ensemble.members if member not in members)
    failed = "every member" if members[0] in diverged else ""
    if len(members) == 1:
        failed = f"every member but {members[0]}"
    return Entry(name, "ensemble", probs, best, on_val.get(name), failed, left_out)


def evaluate(all_entries: list[Entry], measure: Measure) -> dict[str, dict[str, float | str]]:
    """The metrics file: entry -> scores and, where it has a baseline, what comparing them says (see `_compared`).

    Where training of either diverged there is no gain, and the verdict is `diverged`: an average over the seeds that
    survived would be of other seeds than the baseline's.
    """
    by_name = {entry.name: entry for entry in all_entries}
    verdicts = _verdicts(all_entries, by_name, measure)
    metrics: dict[str, dict[str, float | str]] = {}
    for entry in all_entries:
        row: dict[str, float | str] = {**measure.scores(entry.probs, entry.thresholds)}
        if entry.val is not None:
            row[f"val_{measure.key}"] = entry.val
        row |= {"diverged": entry.diverged} if entry.diverged else {}
        row |= {"left_out": ", ".join(entry.left_out)} if entry.left_out else {}
        if entry.baseline:
            row |= {"baseline": entry.baseline} | verdicts[entry.name]
        metrics[entry.name] = {
            key: round(value, DIGITS) if isinstance(value, float) else value for key, value in sorted(row.items())
        }
    return metrics


def _verdicts(
    all_entries: list[Entry], by_name: dict[str, Entry], measure: Measure
) -> dict[str, dict[str, float | str]]:
    """Of each entry with a baseline what comparing them says.

    The arms of a model are judged together: each helps or hurts where its p-value, adjusted by Holm for all of them,
    says so, too.
    """
    rows = {entry.name: _compared(entry, by_name, measure) for entry in all_entries if entry.baseline}
    for family in dict.fromkeys(entry.family for entry in all_entries if entry.family):
        members = [e.name for e in all_entries if e.family == family and "gain_p" in rows.get(e.name, {})]
        for name, p in zip(members, holm([float(rows[name]["gain_p"]) for name in members]), strict=True):
            rows[name]["gain_p_holm"] = p
            if p > 1 - measure.confidence:
                rows[name]["verdict"] = INCONCLUSIVE
    return rows


def _compared(entry: Entry, by_name: dict[str, Entry], measure: Measure) -> dict[str, float | str]:
    """verdict and, where both were trained to the end: gain with its interval gain_low, gain_high, its p-value gain_p,
    gain_chance (probability of improvement), gain_detectable; exact_p, where there is one; control and its gain."""
    baseline = by_name[entry.baseline]
    if entry.diverged or baseline.diverged:
        return {"verdict": "diverged"}
    found = measure.compared(entry.probs, baseline.probs)
    row: dict[str, float | str] = {"gain": found.value, "gain_low": found.low, "gain_high": found.high}
    row |= {"gain_p": found.p_value, "gain_chance": found.chance, "gain_detectable": found.detectable}
    row |= {"verdict": found.word}
    exact = measure.exact_p(entry.probs, baseline.probs)
    row |= {} if exact is None else {"exact_p": exact}
    if entry.control and not by_name[entry.control].diverged:
        over = measure.compared(entry.probs, by_name[entry.control].probs)
        row |= {"control": entry.control, "control_gain": over.value}
        row |= {"control_gain_low": over.low, "control_gain_high": over.high}
    return row


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"


def plots(entry: Entry, labels: np.ndarray, classes: list[str], compare: Compare) -> dict[str, pd.DataFrame]:
    """Tables that `dvc plots` and the report draw: classes, and confusion or, of several labels, precision_recall."""
    if labels.ndim == 1:
        return {"confusion": confusion_table(entry, labels, classes), "classes": class_table(entry, labels, classes)}
    assert entry.thresholds is not None
    table = label_scores.per_class(entry.probs, labels, entry.thresholds, compare).round(DIGITS)
    curves = label_scores.precision_recall(entry.probs, labels, classes).round(DIGITS)
    return {"classes": table.assign(**{"class": classes}), "precision_recall": curves}


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

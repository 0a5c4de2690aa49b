"""All runs and ensembles, scored and compared with their baselines."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from touchstone import label_scores
from touchstone.calibration import reliability, scaled
from touchstone.class_gains import class_gains
from touchstone.compare import INCONCLUSIVE, holm
from touchstone.ensembles import rotated_means, tied
from touchstone.entries import Entry
from touchstone.measures import Measure
from touchstone.scores import per_class_accuracy
from touchstone.sections import Compare
from touchstone.thresholds import decided

DIGITS = 5  # decimals in metrics files: below that is noise, and rounding keeps diffs clean


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
        row |= _calibrated(entry, measure) | _joined(entry, by_name, measure)
        row |= {"diverged": entry.diverged} if entry.diverged else {}
        row |= {"left_out": ", ".join(entry.left_out)} if entry.left_out else {}
        if entry.baseline:
            row |= {"baseline": entry.baseline} | verdicts[entry.name]
        metrics[entry.name] = {
            key: round(value, DIGITS) if isinstance(value, float) else value for key, value in sorted(row.items())
        }
    return metrics


def _calibrated(entry: Entry, measure: Measure) -> dict[str, float | str]:
    """temperature, the mean over the seeds, and nll_scaled, ece_scaled with it; nothing without validation images."""
    if entry.temperature is None:
        return {}
    probs = scaled(entry.probs, entry.temperature, multi_label=entry.thresholds is not None)
    found = {f"{key}_scaled": value for key, value in measure.calibration(probs).items()}
    return {"temperature": float(entry.temperature.mean()), **found}


def _joined(entry: Entry, by_name: dict[str, Entry], measure: Measure) -> dict[str, float | str]:
    """Of an ensemble: tie_rate of a majority vote, and its gain over as many nets of its best member, where that has
    as many seeds (equal_gain with its interval)."""
    row: dict[str, float | str] = {}
    members = [by_name[name] for name in entry.members]
    if entry.rule == "majority" and len(members) > 1:
        row["tie_rate"] = _tie_rate(members)
    if 1 < len(members) <= len(entry.probs) and not entry.diverged and not by_name[entry.baseline].diverged:
        found = measure.compared(entry.probs, rotated_means(by_name[entry.baseline].probs, len(members)))
        row |= {"equal_gain": found.value, "equal_gain_low": found.low, "equal_gain_high": found.high}
    return row


def _tie_rate(members: list[Entry]) -> float:
    """The share of votes, over seeds and images (and labels), that the preferred member decides."""
    if members[0].thresholds is None:
        return float(tied(np.stack([member.probs for member in members])).mean())
    votes = sum(decided(m.probs, m.thresholds).astype(int) for m in members if m.thresholds is not None)
    return float((2 * np.asarray(votes) == len(members)).mean())


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


def plots(
    every: list[Entry], labels: np.ndarray, classes: list[str], compare: Compare, *, seed: int
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(kind, entry, table) of what `dvc plots` and the report draw: classes, reliability and confusion, or, of several
    labels, precision_recall."""
    gains = class_gains(every, labels, classes, compare, seed=seed) if labels.ndim == 1 else {}
    for entry in every:
        yield "reliability", entry.name, _reliability(entry, labels)
        if entry.thresholds is None:
            table = class_table(entry, labels, classes)
            yield "classes", entry.name, table.join(gains[entry.name]) if entry.name in gains else table
            yield "confusion", entry.name, confusion_table(entry, labels, classes)
        else:
            table = label_scores.per_class(entry.probs, labels, entry.thresholds, compare).round(DIGITS)
            yield "classes", entry.name, table.assign(**{"class": classes})
            yield (
                "precision_recall",
                entry.name,
                label_scores.precision_recall(entry.probs, labels, classes).round(DIGITS),
            )


def _reliability(entry: Entry, labels: np.ndarray) -> pd.DataFrame:
    """confidence, accuracy, images, scaled (0, or 1 with the temperature)."""
    several = entry.thresholds is not None
    parts = [reliability(entry.probs, labels).assign(scaled=0)]
    if entry.temperature is not None:
        probs = scaled(entry.probs, entry.temperature, multi_label=several)
        parts.append(reliability(probs, labels).assign(scaled=1))
    return pd.concat(parts, ignore_index=True).round(DIGITS)


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

"""All runs and ensembles, scored and compared with their baselines."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from touchstone.config.sections import Compare
from touchstone.evaluation import label_scores
from touchstone.evaluation.calibration import reliability, scaled
from touchstone.evaluation.class_gains import class_gains
from touchstone.evaluation.compare import INCONCLUSIVE, Comparison, Paired, conclude, holm
from touchstone.evaluation.ensembles import rotated_means, tied
from touchstone.evaluation.measures import Measure
from touchstone.evaluation.results import Entry
from touchstone.evaluation.scores import per_class_accuracy
from touchstone.evaluation.thresholds import decided

DIGITS = 5  # decimals in metrics files: below that is noise, and rounding keeps diffs clean


def evaluate(all_entries: list[Entry], measure: Measure) -> dict[str, dict[str, float | str]]:
    """The metrics file: entry -> scores and, where it has a baseline, what comparing them says (see `_verdicts`).

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
    as many seeds (equal_gain). Those means of seeds overlap, so that how they vary says little of other seeds: the
    interval is over test images alone."""
    row: dict[str, float | str] = {}
    members = [by_name[name] for name in entry.members]
    if entry.rule == "majority" and len(members) > 1:
        row["tie_rate"] = _tie_rate(members)
    if 1 < len(members) <= len(entry.probs) and not entry.diverged and not by_name[entry.baseline].diverged:
        rival = rotated_means(by_name[entry.baseline].probs, len(members))
        found = conclude(measure.compared(entry.probs, rival).of_these_seeds(), confidence=measure.confidence)
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
    """Of each entry with a baseline what comparing them says: `_gain`; exact_p, where there is one; the control's gain.

    The seeds of a model's arms are taken to vary alike. All arms of all models are judged together, and so are all
    ensembles and runs with a baseline of their own: each helps or hurts where its p-value, adjusted by Holm, agrees.
    """
    compared = [entry for entry in all_entries if entry.baseline]
    sound = [e for e in compared if not e.diverged and not by_name[e.baseline].diverged]
    found = {e.name: measure.compared(e.probs, by_name[e.baseline].probs) for e in sound}
    over = {
        e.name: measure.compared(e.probs, by_name[e.control].probs)
        for e in sound
        if e.control and not by_name[e.control].diverged
    }
    rows = {entry.name: dict[str, float | str](verdict="diverged") for entry in compared}
    for family in ([e for e in sound if e.pool], [e for e in sound if not e.pool]):
        gains = [conclude(found[e.name], confidence=measure.confidence, pool=_pool(e, sound, found)) for e in family]
        for entry, gain, p in zip(family, gains, holm([gain.p_value for gain in gains]), strict=True):
            rows[entry.name] = _gain(gain, p, family=len(family))
            exact = measure.exact_p(entry.probs, by_name[entry.baseline].probs)
            rows[entry.name] |= {} if exact is None else {"exact_p": exact}
            if entry.name in over:
                other = conclude(over[entry.name], confidence=measure.confidence, pool=_pool(entry, sound, over))
                rows[entry.name] |= {"control": entry.control, "control_gain": other.value}
                rows[entry.name] |= {"control_gain_low": other.low, "control_gain_high": other.high}
    return rows


def _pool(entry: Entry, others: list[Entry], paired: dict[str, Paired]) -> list[Paired]:
    """The comparisons with the same baseline whose seeds are taken to vary alike."""
    return [paired[e.name] for e in others if entry.pool and e.pool == entry.pool and e.name in paired]


def _gain(one: Comparison, p_holm: float, *, family: int) -> dict[str, float | str]:
    """verdict; gain with its interval gain_low, gain_high, its p-value gain_p, adjusted gain_p_holm, gain_chance (the
    probability of improvement), gain_detectable among `family` comparisons that are judged together."""
    row: dict[str, float | str] = {"gain": one.value, "gain_low": max(-1.0, one.low), "gain_high": min(1.0, one.high)}
    row |= {"gain_p": one.p_value, "gain_p_holm": p_holm, "gain_chance": one.chance}
    row |= {"gain_detectable": one.detectable(family)}
    return row | {"verdict": one.word if p_holm <= 1 - one.confidence else INCONCLUSIVE}


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

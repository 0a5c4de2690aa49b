"""What is evaluated: every declared run and ensemble, what it is compared with, what was chosen on validation."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from touchstone.config.params import Params
from touchstone.config.sections import Ensemble, Transform
from touchstone.evaluation.calibration import temperatures
from touchstone.evaluation.ensembles import decider, sound
from touchstone.evaluation.measures import Measure
from touchstone.evaluation.thresholds import choose


@dataclass(frozen=True)
class Entry:
    """A run or an ensemble to be evaluated.

    probs: float32 (seeds, N, classes) on test. baseline: the entry it is compared with, "" for none. kind: run or
    ensemble. val: the measure on validation, mean over the seeds; None without a validation split. diverged: of how
    many seeds training diverged; of an ensemble, of which members, where it leaves less than two; "" of none.
    left_out: members that are. thresholds: (K,), where an image may have several labels. pool: of an arm's run its
    model, whose seeds are taken to vary alike on all arms; "" for what is compared by itself. control: a run on plain
    copies, the gain over which is told apart. temperature: (seeds,), of the logits, for the highest likelihood on
    validation. rule, members: of an ensemble, those that have no weight left out.
    """

    name: str
    kind: str
    probs: np.ndarray = field(repr=False)
    baseline: str
    val: float | None = None
    diverged: str = ""
    left_out: tuple[str, ...] = ()
    thresholds: np.ndarray | None = field(default=None, repr=False)
    pool: str = ""
    control: str = ""
    temperature: np.ndarray | None = field(default=None, repr=False)
    rule: str = ""
    members: tuple[str, ...] = ()


def entries(
    params: Params,
    test: dict[str, np.ndarray],
    val: dict[str, np.ndarray],
    val_labels: np.ndarray,
    diverged: dict[str, dict[str, str]],
    *,
    measure: Measure,
    weights: dict[str, dict[str, float]] | None = None,
) -> list[Entry]:
    """Every declared run and ensemble, in the file's order; test and val: name -> Probs. diverged: `load_diverged`.
    weights: of the members of an ensemble, where its rule found them.

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
            if arm != params.compare.baseline:
                control = f"{model}-{copies}" if copies not in ("", arm) else ""
                entry = replace(entry, pool=model, control=control)
            out.append(entry)
    for name, ensemble in params.ensembles.items():
        failed_runs = [run for run, seeds in diverged.items() if seeds]
        entry = _ensemble(name, ensemble, test[name], on_val, failed_runs)
        shares = (weights or {}).get(name, dict.fromkeys(entry.members, 1.0))
        out.append(replace(entry, members=tuple(member for member in entry.members if shares[member])))
    return [_tuned(entry, val.get(entry.name), val_labels, params) for entry in out]


def _tuned(entry: Entry, val: np.ndarray | None, labels: np.ndarray, params: Params) -> Entry:
    """With what is chosen on validation: a temperature and, of several labels an image, thresholds."""
    if labels.ndim == 2:
        assert val is not None
        entry = replace(entry, thresholds=choose(val, labels, rule=params.thresholds(entry.name)))
    return replace(entry, temperature=temperatures(val, labels)) if val is not None and len(labels) else entry


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
    made: Any = {"rule": ensemble.rule, "members": tuple(members)}
    return Entry(name, "ensemble", probs, best, on_val.get(name), failed, left_out, **made)


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"

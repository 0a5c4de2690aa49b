"""The results to evaluate: every run and ensemble, what it is compared with, and what was chosen on validation."""

from dataclasses import dataclass, field, replace

import numpy as np

from touchstone.config.schema.data import Transform
from touchstone.config.schema.evaluation import Ensemble
from touchstone.config.settings import Settings
from touchstone.evaluation.calibration import temperatures
from touchstone.evaluation.ensembles import tie_breaker, without_diverged
from touchstone.evaluation.measures import Measure
from touchstone.evaluation.thresholds import thresholds_of


@dataclass(frozen=True)
class Result:
    """A run or an ensemble to evaluate."""

    name: str
    probs: np.ndarray = field(repr=False)
    """Its predictions of the test images, float32 (seeds, N, K)."""
    baseline: str
    """The result it is compared with; "" for none."""
    val: float | None = None
    """The primary score on validation, the mean over the replicates; None without a validation split."""
    diverged: str = ""
    """The number of seeds that diverged; for an ensemble, the members that did where fewer than two are left."""
    left_out: tuple[str, ...] = ()
    """The members of an ensemble that are left out, since they diverged."""
    thresholds: np.ndarray | None = field(default=None, repr=False)
    """(K,), where an image may have several labels."""
    pooled_with: str = ""
    """The model whose runs are taken to vary alike from seed to seed; "" for a result compared by itself."""
    control: str = ""
    """The model's run on the control arm, the gain over which is reported as well; "" for none."""
    temperature: np.ndarray | None = field(default=None, repr=False)
    """(seeds,), the divisor of the logits with the highest likelihood on validation."""
    rule: str = ""
    """The rule that combines an ensemble's members."""
    members: tuple[str, ...] = ()
    """The members of an ensemble that have a weight."""


def results(
    settings: Settings,
    test: dict[str, np.ndarray],
    val: dict[str, np.ndarray],
    val_labels: np.ndarray,
    diverged: dict[str, dict[str, str]],
    *,
    measure: Measure,
    weights: dict[str, dict[str, float]] | None = None,
) -> list[Result]:
    """Every declared run and ensemble, in the order of params.yaml.

    A run is compared with its model's run on the baseline arm. That run is compared with the one that compare.against
    names, and a finetune's otherwise with the run it started from. An ensemble is compared with its best member on
    validation or, without a validation split, with the one that decides ties.

    test, val: name -> predictions. diverged: see `load_diverged`. weights: ensemble -> member -> weight, for the rules
    that find weights.
    """
    on_val = {name: measure.value(probs, val_labels) for name, probs in val.items()} if len(val_labels) else {}
    failed = [run for run, seeds in diverged.items() if seeds]
    out = [_run(model, arm, settings, test, diverged) for model in settings.trained for arm in settings.arms]
    for name, ensemble in settings.ensembles.items():
        result = _ensemble(name, ensemble, test[name], on_val, failed)
        shares = (weights or {}).get(name, dict.fromkeys(result.members, 1.0))
        out.append(replace(result, members=tuple(member for member in result.members if shares[member])))
    for i, result in enumerate(out):
        name = result.name
        if name in val:
            temperature = temperatures(val[name], val_labels) if len(val_labels) else None
            thresholds = thresholds_of(name, val[name], val_labels, settings)
            out[i] = replace(result, val=on_val.get(name), temperature=temperature, thresholds=thresholds)
    return out


def _run(
    model: str, arm: str, settings: Settings, test: dict[str, np.ndarray], diverged: dict[str, dict[str, str]]
) -> Result:
    name, control = f"{model}-{arm}", control_arm(settings)
    count = len(test[name])
    failed = f"{len(diverged[name])} of {count} seed{'' if count == 1 else 's'}" if diverged[name] else ""
    result = Result(name, test[name], settings.baseline(model, arm), diverged=failed)
    if arm == settings.compare.baseline:
        return result
    return replace(result, pooled_with=model, control=f"{model}-{control}" if control not in ("", arm) else "")


def _ensemble(
    name: str, ensemble: Ensemble, probs: np.ndarray, on_val: dict[str, float], diverged: list[str]
) -> Result:
    members = without_diverged(ensemble.members, diverged)
    best = max(members, key=on_val.__getitem__) if on_val else tie_breaker(members, ensemble.prefer)
    failed = "every member" if members[0] in diverged else ""
    if len(members) == 1:
        failed = f"every member but {members[0]}"
    left_out = tuple(member for member in ensemble.members if member not in members)
    rule, kept = ensemble.rule, tuple(members)
    return Result(name, probs, best, diverged=failed, left_out=left_out, rule=rule, members=kept)


def control_arm(settings: Settings) -> str:
    """The arm over which the gains of all others but the baseline are reported as well; "" where there is none."""
    return settings.compare.control or copy_arm(settings)


def copy_arm(settings: Settings) -> str:
    """The arm that adds plain copies to the real images, a control that must not help; "" where there is none."""
    for name, arm in settings.arms.items():
        plain = all(settings.transforms.get(addition) == Transform() for addition in arm.add)
        if arm.real and arm.add and plain and name != settings.compare.baseline:
            return name
    return ""

"""Whether the baseline's settings were searched as those of every arm were, and what the searches found."""

from typing import Any

from touchstone.config.settings import Settings
from touchstone.report.facts import Facts
from touchstone.report.table import Table
from touchstone.report.words import listing, number, percent

TUNED = "learning rate, weight decay, number of steps and online augmentation"


def about(settings: Settings) -> str:
    """Say how the settings of the runs were searched, or warn of an untuned baseline; "" where no arms are compared."""
    if len(settings.arms) < 2:
        return ""
    probes = [name for name, model in settings.trained.items() if model.probe is not None]
    untuned = [name for name in settings.trained if name not in settings.tuned and name not in probes]
    sentences = []
    if settings.tuned:
        of = f" of {listing(settings.tuned)}" if untuned or probes else ""
        sentences.append(
            f"The settings of each run{of}, including the baseline, were searched: {TUNED}, with "
            f"{settings.train.tune.trials} trials each, on the validation images, with the first replicate."
        )
    if untuned:
        found = [name for name in untuned if name in settings.models and settings.models[name].phases[0].lr == "auto"]
        besides = f", apart from the learning rate of {listing(found)}, which was found on the real images"
        of = f" of {listing(untuned)}" if settings.tuned or probes else ""
        sentences.append(
            f"The baseline{of}, {settings.compare.baseline}, is untuned: its {TUNED} are those that params.yaml gives "
            f"to every arm{besides if found else ''}. Tuning the baseline could gain as much as an arm does (Brigato "
            "et al. 2021, 2022)."
        )
    if searched := [name for name in probes if getattr(settings.trained[name].probe, "C", "") == "auto"]:
        sentences.append(
            f"The C of each run of {listing(searched)}, including the baseline, was chosen by cross-validation in its "
            "own training images."
        )
    return " ".join(sentences)


def table(facts: Facts) -> Table:
    """Return the factors that each search found, and the validation scores of the own and of the found settings."""
    header = ["run", "trials", "ended early", "learning rate ×", "weight decay", "steps ×", "augmentation ×"]
    header += ["judged by", "own settings", "found"]
    return Table("lrrrrrrlrr", header, [_row(run, facts) for run in facts.trials])


def _row(run: str, facts: Facts) -> list[str]:
    trials = [row.to_dict() for _, row in facts.trials[run].iterrows()]
    chosen = next(trial for trial in trials if trial["chosen"] == "True")
    model = next(facts.settings.trained[name] for name in facts.settings.tuned if run in facts.settings.runs_of(name))
    states = [trial["state"] for trial in trials]
    early = [f"{states.count(state)} {state}" for state in ("pruned", "diverged") if state in states]
    found = [f"{float(chosen[name]):g}" if chosen[name] else "own" for name in ("lr", "weight_decay", "steps")]
    scores = [_score(trial, model.select) for trial in (trials[0], chosen)]
    judged = "val_loss" if model.select == "last" else model.select
    return [
        run,
        str(len(trials)),
        ", ".join(early) or "none",
        *found,
        f"{float(chosen['strength']):g}",
        judged,
        *scores,
    ]


def _score(trial: dict[Any, Any], select: str) -> str:
    """In per cent, or the validation loss; of a trial without a validation, an en dash."""
    if select in ("val_loss", "last"):
        return number(float(trial["val_loss"] or "nan"))
    return percent(float(trial["score"] or "nan"), 1)

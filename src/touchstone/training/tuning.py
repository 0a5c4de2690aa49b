"""The search for a run's settings on its validation images, with `budget: tuned`.

Optuna proposes trials by the tree-structured Parzen estimator (Bergstra et al. 2011, "Algorithms for hyper-parameter
optimization") and ends the worse half of them after a quarter of the steps of their last phase, and again after a half
(asynchronous successive halving: Li et al. 2020, "A system for massively parallel hyperparameter tuning"). Earlier
phases do not count: while most of a net is frozen, trials that will differ look alike.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from touchstone.config.schema.tune import TRIAL_COLUMNS, Tune, Tuned
from touchstone.errors import TouchstoneError
from touchstone.training.callback import ranking
from touchstone.training.loop import train_seed
from touchstone.training.resume import only_folder
from touchstone.training.setup import TrainingRun, scheduled_phases
from touchstone.training.state import Row

if TYPE_CHECKING:
    from optuna.trial import Trial

WHOLE = 1000  # Optuna's step at the end of a trial, whatever the number of steps of its last phase
FIRST_RUNG = WHOLE // 4  # the first halving
TIE = 1e-6  # a lower loss decides between equal scores; below 1 / the number of validation images
COMPLETE, PRUNED, DIVERGED = "complete", "pruned", "diverged"  # states of a trial


def tune(run: TrainingRun, ranges: Tune, *, store: Path) -> tuple[Tuned, pd.DataFrame]:
    """Return the best settings that a search finds, relative to the run's own, and its trials, a row for each.

    Every trial trains the run's first seed on that seed's images. Trials that end in `store` are not trained again.
    Raises TouchstoneError where there are no validation images.
    """
    import optuna  # here: most stages do without it

    if not len(run.val):
        raise TouchstoneError(
            f"{run.title}: budget: tuned chooses settings on validation images, and there are none; set "
            "data.val_fraction above 0, or budget to equal_steps"
        )
    torch.set_num_threads(run.settings.num_threads)
    seed = run.settings.seeds[0]
    run, made_from = run.of_seed(seed), [_search_hash(ranges), *run.own_inputs(seed)]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=ranges.seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=FIRST_RUNG, reduction_factor=2),
    )
    study.enqueue_trial({"lr": 1.0, "weight_decay": None, "steps": 1.0, "strength": 1.0})
    rows: list[dict[str, Any]] = []
    for number in range(ranges.trials):
        trial = study.ask()
        found = _proposed(trial, ranges, run)
        settings = run.settings.tuned(found).model_copy(update={"on_divergence": "report"})  # it ends this trial alone
        phases = scheduled_phases(settings, len(run.data))
        tried = replace(run, title=f"{run.title} trial {number}", settings=settings, phases=phases)
        halving = _Halving(trial, tried)
        folder = only_folder(store, f"trial-{number}", *made_from)
        history, diverged = _train_or_load(tried, seed, halving, folder)
        pruned = halving(history) and diverged is None
        state = DIVERGED if diverged else PRUNED if pruned else COMPLETE
        score, loss = halving.best(history)
        if state == COMPLETE:
            study.tell(trial, halving.value(history))
        else:
            ended = optuna.trial.TrialState.FAIL if diverged else optuna.trial.TrialState.PRUNED
            study.tell(trial, state=ended)
        rows.append(
            {"trial": number, **found.model_dump(), "state": state, "last_step": int(history[-1]["step"])}
            | {"score": score, "val_loss": loss, "chosen": False}
        )
    best = max((row for row in rows if row["state"] == COMPLETE), key=_rank, default=rows[0])
    best["chosen"] = True
    table = pd.DataFrame(rows, columns=TRIAL_COLUMNS).round({"score": 6, "val_loss": 6})
    return Tuned(**{name: best[name] for name in Tuned.model_fields}), table


def _rank(row: dict[str, Any]) -> tuple[float, float]:
    """Return the key that is highest for the best trial; `max` takes the first of equal ones."""
    return row["score"], -row["val_loss"]


def _proposed(trial: "Trial", ranges: Tune, run: TrainingRun) -> Tuned:
    """The settings that the sampler proposes. What has one value, or nothing to act on, is not searched."""
    values: dict[str, Any] = {}
    for name in ("lr", "steps"):
        low, high = getattr(ranges, name)
        if low < high:
            values[name] = _rounded(trial.suggest_float(name, low, high, log=True))
    if ranges.weight_decay:
        values["weight_decay"] = trial.suggest_categorical("weight_decay", [None, *_others(ranges, run)])
    if ranges.strength < 1 and any(phase.scalable for phase in run.settings.phases):
        values["strength"] = _rounded(trial.suggest_float("strength", ranges.strength, 1.0))
    return Tuned(**values)


def _others(ranges: Tune, run: TrainingRun) -> list[float]:
    """Return the values of weight decay that differ from the one that all phases have."""
    own = {phase.weight_decay for phase in run.settings.phases}
    return [value for value in ranges.weight_decay if own != {value}]


def _rounded(value: float) -> float:
    """Round to three digits, as the settings are stored."""
    return float(f"{value:.3g}")


def _search_hash(ranges: Tune) -> str:
    """Hash all that decides the trials but their number, so that a longer search begins with those of a shorter one."""
    return hashlib.sha256(ranges.model_dump_json(exclude={"trials"}).encode()).hexdigest()


class _Halving:
    """Reports the validations of a trial to Optuna in their order, and says whether it is pruned."""

    def __init__(self, trial: "Trial", run: TrainingRun) -> None:
        self.trial, self.select, self.last = trial, run.settings.select, run.phases[-1]
        self.num_reported, self.is_pruned = 0, False

    def __call__(self, history: list[Row]) -> bool:
        """history: all rows so far, those from before a resume included."""
        inside = range(self.last.first + 1, self.last.stop)
        validated = [row for row in history if "val_loss" in row and row["step"] in inside]
        for count in range(self.num_reported + 1, len(validated) + 1):
            step = round(WHOLE * (validated[count - 1]["step"] - self.last.first) / self.last.num_steps)
            self.trial.report(self.value(validated[:count]), step)
            self.is_pruned = self.trial.should_prune()
        self.num_reported = len(validated)
        return self.is_pruned

    def value(self, history: list[Row]) -> float:
        """The score for Optuna, which knows one number: of equal scores, that with the lower loss is higher."""
        score, loss = self.best(history)
        return score + TIE / (1 + loss) if self.select in ("val_accuracy", "val_map") else score

    def best(self, history: list[Row]) -> tuple[float, float]:
        """The score and the validation loss of the weights that would be selected; NaN without a validation."""
        ranked = [ranking(row, self.select) for row in history if "val_loss" in row]
        if not ranked:
            return float("nan"), float("nan")
        score, minus_loss = ranked[-1] if self.select == "last" else max(ranked)
        return score, -minus_loss


def _train_or_load(run: TrainingRun, seed: int, halving: _Halving, folder: Path) -> tuple[list[Row], str | None]:
    """Return a trial's history and how it diverged, from `folder` where it was trained before."""
    done, state_file = folder / "done.json", folder / "state.pt"
    if done.exists():
        history, reason = json.loads(done.read_text())
        return history, reason
    trained = train_seed(run, seed=seed, state_file=state_file, prune=halving)
    reason = None if trained.diverged is None else str(trained.diverged)
    done.with_suffix(".new").write_text(json.dumps([trained.history, reason]))
    done.with_suffix(".new").replace(done)
    state_file.unlink(missing_ok=True)
    return trained.history, reason

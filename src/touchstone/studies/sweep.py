"""Run a recipe with several values of some parameters, as DVC experiments, and keep a table of their results."""

import itertools
import json
import re
import shutil
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pandas as pd

from touchstone.config import yaml
from touchstone.config.load import settings_of
from touchstone.errors import TouchstoneError
from touchstone.evaluation.metrics import primary_key
from touchstone.studies import learning_curves, made_by, quotes
from touchstone.studies.alone import alone
from touchstone.studies.commands import dvc, dvc_output, end_all_in, git
from touchstone.studies.workspace import LINKED, copy_project, recipe

IDENTITY = {
    **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "Touchstone"),
    **dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "touchstone@localhost"),
}
QUEUE = Path(".dvc/tmp/exps")
TABLE, CURVE = made_by.KEPT["sweep"]
COMPARED = ("gain", "gain_low", "gain_high", "verdict", "diverged")  # columns of metrics.json that are kept as they are


def sweep(name: str, *, root: Path, changes: list[str], jobs: int) -> Path:
    """Run recipes/<name> for every combination of the values in its sweep.yaml and keep the table beside the recipe.

    changes: "key=value" each, set over the recipe's params. jobs: the number of experiments that run at a time. A sweep
    over data.train_size also keeps a picture of its learning curve. Return the folder in which `dvc exp show` lists the
    experiments. Raise TouchstoneError on an unknown recipe, one without sweep.yaml, bad values, and where an experiment
    fails.
    """
    folder = recipe(name, root)
    values = _values(folder / "sweep.yaml")
    combinations = _combinations(values)
    space = root / ".touchstone/sweeps" / name
    text = yaml.changed((folder / "params.yaml").read_text(encoding="utf-8"), changes)
    for combination in combinations:  # each is checked before the first one runs
        settings_of(yaml.changed(text, _assignments(combination)))
    refusal = f"another `touchstone sweep {name}` is running here; wait until it ends"
    with alone(space.with_name(f"{name}.lock"), refusal=refusal):
        copy_project(root, space, settings=text, scm=True)
        maker = made_by.maker(text, root, values)  # before it runs, as the code may be edited meanwhile
        _commit_all(space)
        _run_experiments(space, combinations, jobs)
        results = table(space, values)
    failed = len(combinations) - results["experiment"].nunique()
    if failed:
        raise TouchstoneError(
            f"sweep {name}: {failed} of {len(combinations)} experiments failed, see above; fix the cause and run the "
            "same command again"
        )
    results.to_csv(folder / TABLE, index=False)
    if learning_curves.SIZE in values:
        learning_curves.save(results, folder / CURVE)
    made_by.record(folder, "sweep", maker)
    for file in quotes.update(root):
        print(f"{file.relative_to(root)}: quotes the new table")
    return space


def _run_experiments(space: Path, combinations: list[dict[str, Any]], jobs: int) -> None:
    """Queue an experiment for each combination, in place of those of an earlier sweep, and run them.

    Of a sweep that was killed, DVC would follow the experiment that it ran for ever, and its worker may still be there:
    they are ended first, and DVC's queue is emptied. The run-cache keeps the stages that had ended.
    """
    end_all_in(space, words=("dvc", "exp"))  # but no shell or editor of yours
    end_all_in(space / QUEUE)  # the stages of experiments
    shutil.rmtree(space / QUEUE, ignore_errors=True)
    dvc_output(space, "exp", "remove", "--all-commits", "--queue", **IDENTITY)
    for number, combination in enumerate(combinations, 1):
        changes = [part for assignment in _assignments(combination) for part in ("-S", assignment)]
        dvc_output(space, "exp", "run", "--queue", "--name", _name(number, combination), *changes, **IDENTITY)
    dvc(space, "exp", "run", "--run-all", "--jobs", str(jobs), **IDENTITY)  # it succeeds even where experiments fail


def table(space: Path, values: dict[str, list[Any]]) -> pd.DataFrame:
    """A row for each experiment and run or ensemble: experiment, the swept parameters, run, the primary score (accuracy
    or map), its sd and interval, and COMPARED.
    """
    rows: list[dict[str, Any]] = []
    columns: tuple[str, ...] = ()
    for commit in json.loads(dvc_output(space, "exp", "show", "--json")):
        for experiment in commit["experiments"] or ():
            revision = experiment["revs"][0]
            params = revision["data"]["params"]["params.yaml"].get("data", {})
            metrics = _metrics(space, revision["rev"])
            swept = {key: reduce(getitem, key.split("."), params) for key in values if metrics}  # none where it failed
            for run, scores in metrics.items():
                key = primary_key(scores)
                columns = (key, *(f"{key}_{end}" for end in ("sd", "low", "high")), *COMPARED)
                kept = {column: scores.get(column, "") for column in columns}
                rows.append({"experiment": revision["name"], **swept, "run": run, **kept})
    rows.sort(key=lambda row: int(row["experiment"].split("-")[0][1:]))  # in the order of sweep.yaml
    return pd.DataFrame(rows, columns=["experiment", *values, "run", *columns])


def _metrics(space: Path, revision: str) -> dict[str, Any]:
    """The metrics.json of an experiment; empty where it failed."""
    try:
        return json.loads(git(space, "show", f"{revision}:metrics/metrics.json"))
    except TouchstoneError:
        return {}


def _values(file: Path) -> dict[str, list[Any]]:
    if not file.is_file():
        raise TouchstoneError(f"{file}: no such file; it should list the values of each parameter that is swept")
    values = yaml.parse(file.read_text(encoding="utf-8"))
    for key, listed in values.items():
        if not isinstance(listed, list) or not listed:
            raise TouchstoneError(f"{file}: {key}: got {listed!r}, expected a list of values")
    return values


def _combinations(values: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """One key -> value for each experiment; the last key varies fastest."""
    return [dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())]


def _assignments(combination: dict[str, Any]) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in combination.items()]


def _name(number: int, values: dict[str, Any]) -> str:
    """A name that git accepts for a reference, such as n1-batch_size-16."""
    words = [f"n{number}", *(f"{key.rsplit('.', 1)[-1]}-{value}" for key, value in values.items())]
    return re.sub(r"[^A-Za-z0-9_]+", "-", "-".join(words)).strip("-")


def _commit_all(space: Path) -> None:
    """Make the folder a git repository whose last commit holds all that lies there, the links included."""
    git(space, "init", "-q", **IDENTITY)
    git(space, "add", "-A", **IDENTITY)
    git(space, "add", "-f", *LINKED, **IDENTITY)
    commit = ("-c", "commit.gpgsign=false", "commit", "-q", "--no-verify", "--allow-empty", "-m", "sweep")
    git(space, *commit, **IDENTITY)  # nobody signs it or lets hooks look at it

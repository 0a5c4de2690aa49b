"""A recipe under several values of some parameters: DVC experiments from its queue, and the table of what they gave."""

import itertools
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd

from touchstone.config import params, yaml12
from touchstone.errors import TouchstoneError
from touchstone.studies import learning_curves, quotes
from touchstone.studies.workspace import LINKED, copy_project, recipe

IDENTITY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "Touchstone"), ("EMAIL", "touchstone@localhost"))
}
FILE = "params.yaml"
KEPT, CURVE = "experiments.csv", "learning_curve.png"
COMPARED = ("gain", "gain_low", "gain_high", "verdict", "diverged")


def sweep(name: str, *, root: Path, changes: list[str], jobs: int) -> Path:
    """Run recipes/<name> for every combination of the values in its sweep.yaml; keep the table beside the recipe.

    A row of recipes/<name>/experiments.csv is an experiment and a run or ensemble; a sweep over data.train_size has its
    learning curve drawn beside it. changes: "key=value" each, over the
    recipe's params. jobs: how many experiments run at a time. Returns the folder in which DVC knows them.

    Raises TouchstoneError on an unknown recipe, one without sweep.yaml, bad values, and where an experiment fails.
    """
    folder = recipe(name, root)
    values = _values(folder / "sweep.yaml")
    space = root / ".touchstone/sweeps" / name
    text = yaml12.changed((folder / "params.yaml").read_text(encoding="utf-8"), changes)
    for combination in _combinations(values):  # each is checked before the first one runs
        trial = space / "params.yaml"
        trial.parent.mkdir(parents=True, exist_ok=True)
        trial.write_text(yaml12.changed(text, [f"{key}={json.dumps(value)}" for key, value in combination.items()]))
        params.load(trial)
    copy_project(root, space, settings=text, scm=True)
    _repository(space)
    _dvc(space, "exp", "remove", "--all-commits", "--queue")
    for number, key_values in enumerate(_combinations(values), 1):
        sets = [part for key, value in key_values.items() for part in ("-S", f"{key}={json.dumps(value)}")]
        _dvc(space, "exp", "run", "--queue", "--name", _name(number, key_values), *sets)
    _dvc(space, "exp", "run", "--run-all", "--jobs", str(jobs), shown=True)  # it ends with 0 also where some failed
    found = table(space, values)
    wanted, there = len(_combinations(values)), found["experiment"].nunique()
    if there < wanted:
        raise TouchstoneError(
            f"sweep {name}: {wanted - there} of {wanted} experiments failed, see above; mend it and "
            "run the same command again"
        )
    found.to_csv(folder / KEPT, index=False)
    if learning_curves.SIZE in values:
        learning_curves.save(found, folder / CURVE)
    for file in quotes.update(root):
        print(f"{file.relative_to(root)}: quotes the new table")
    return space


def table(space: Path, values: dict[str, list[Any]]) -> pd.DataFrame:
    """experiment, the swept parameters, run, accuracy (or map, of several labels an image), its sd, its interval and
    COMPARED: a row an experiment and a run or ensemble."""
    shown = json.loads(_dvc(space, "exp", "show", "--json").stdout)
    rows: list[dict[str, Any]] = []
    columns: tuple[str, ...] = ()
    for experiment in [found for commit in shown for found in commit["experiments"] or ()]:
        data = experiment["revs"][0]["data"]
        known, metrics = (
            data[kind][file].get("data", {}) for kind, file in (("params", FILE), ("metrics", "metrics/metrics.json"))
        )
        if not metrics:
            continue  # it failed
        swept = {key: _at(known, key) for key in values}
        for run, scores in metrics.items():
            name, key = experiment["revs"][0]["name"], quotes.measure(scores)
            columns = (key, *(f"{key}_{end}" for end in ("sd", "low", "high")), *COMPARED)
            rows.append({"experiment": name, **swept, "run": run, **{key: scores.get(key, "") for key in columns}})
    rows.sort(key=lambda row: int(row["experiment"].split("-")[0][1:]))  # in the order of sweep.yaml
    return pd.DataFrame(rows, columns=["experiment", *values, "run", *columns])


def _values(file: Path) -> dict[str, list[Any]]:
    if not file.is_file():
        raise TouchstoneError(f"{file}: no such file; a sweep lists there the values of each parameter, key by key")
    values = yaml12.parse(file.read_text(encoding="utf-8"))
    for key, listed in values.items():
        if not isinstance(listed, list) or not listed:
            raise TouchstoneError(f"{file}: {key}: got {listed!r}, expected a list of values")
    return values


def _combinations(values: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())]


def _name(number: int, values: dict[str, Any]) -> str:
    """A name that git takes for a reference, such as n1-batch_size-16."""
    words = [f"n{number}", *(f"{key.rsplit('.', 1)[-1]}-{value}" for key, value in values.items())]
    return re.sub(r"[^A-Za-z0-9_]+", "-", "-".join(words)).strip("-")


def _at(values: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


def _repository(space: Path) -> None:
    """Make the folder a git repository whose last commit is what lies there, links to images and weights included."""
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["add", "-f", *LINKED],
        ["commit", "-q", "--allow-empty", "-m", "sweep"],
    ):
        subprocess.run(["git", *command], cwd=space, env=os.environ | IDENTITY, check=True)


def _dvc(space: Path, *command: str, shown: bool = False) -> subprocess.CompletedProcess[str]:
    """Run dvc; what it says is shown, or kept and shown where it fails."""
    environment = os.environ | IDENTITY
    done = subprocess.run(["dvc", *command], cwd=space, env=environment, capture_output=not shown, text=True)
    if done.returncode and not shown:
        raise TouchstoneError(f"dvc {' '.join(command)}: {' '.join(done.stderr.split())}")
    return done

"""Cross-validates the models of a recipe within its training images; no test image is predicted.

    python benchmarks/folds.py transfer_vote [--folds 5] [-S source.mirror=FOLDER]

A copy of the project in .touchstone/folds/<recipe> trains each model on the real images, once a fold, and validates it
on the images of the fold. Printed are the accuracies at the end of training, with their mean and standard deviation
over the folds. The same command goes on where it was stopped. Figures: docs/studies/transfer_vote.md.
"""

import argparse
from contextlib import chdir
from pathlib import Path

import pandas as pd
from dvc.utils.serialize import dumps_yaml

from touchstone.cluster.repro import repro
from touchstone.config import yaml
from touchstone.config.load import settings_of
from touchstone.studies.commands import git
from touchstone.studies.workspace import copy_project, recipe

UNUSED = ("generators", "finetunes", "students", "ensembles")  # sections without which the models train on real images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("-j", "--jobs", type=int)
    parser.add_argument("-S", "--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    root = Path.cwd()
    text = yaml.changed((recipe(given.recipe, root) / "params.yaml").read_text(encoding="utf-8"), given.set)
    settings = settings_of(text)
    arm = settings.compare.baseline
    runs = [f"{model}-{arm}" for model in settings.models]
    params = yaml.parse(text) | {section: {} for section in UNUSED}
    params["arms"] = {arm: params["arms"][arm] | {"add": []}}
    params["train"]["replicates"] = 1
    params["compare"].pop("against", None)
    params["explain"].pop("runs", None)
    space = root / ".touchstone/folds" / given.recipe
    table = pd.DataFrame(index=runs, columns=range(1, given.folds + 1), dtype=float)
    for fold in table.columns:
        copy_project(
            root, space, settings=dumps_yaml(params | {"data": params["data"] | {"fold": f"{fold} of {given.folds}"}})
        )
        git(space, "init", "-q")  # git lists the files that workers need
        with chdir(space):
            repro(Path.cwd(), [f"train@{run}" for run in runs], jobs=given.jobs)
        for run in runs:
            curve = pd.read_csv(space / f"data/curves/{run}.csv")
            table.loc[run, fold] = 100 * curve["val_accuracy"].dropna().iloc[-1]
    folds = list(table.columns)
    table = table.assign(mean=table[folds].mean(axis=1), sd=table[folds].std(axis=1))
    print(table.round(2).to_string())


if __name__ == "__main__":
    main()

"""Hides the labels of some test images, and scores what a study predicts for them against these labels.

    python benchmarks/unlabelled.py hide data/external/scenes8 data/external/scenes8_hidden --number 300
    dvc exp run -S source.path=data/external/scenes8_hidden    # or touchstone repro, with source.path in params.yaml
    python benchmarks/unlabelled.py score data/external/scenes8_hidden data/ensembles/*/predictions.csv

`hide` copies a folder of <split>/<class>/* and draws the images at random from its test split: they lie in unlabelled/
under numbers, and their labels in a table beside the copy, <copy>.csv, which the pipeline never reads. `score` prints a
row per file of predictions: accuracy with its 95 % interval (Clopper and Pearson, exact), and the mean probability of
the predicted labels, which is the accuracy that the predictions claim. Figures: docs/studies/transfer_vote.md.
"""

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    hiding = commands.add_parser("hide")
    hiding.add_argument("source", type=Path)
    hiding.add_argument("copy", type=Path)
    hiding.add_argument("--number", type=int, default=300)
    hiding.add_argument("--seed", type=int, default=0)
    hiding.set_defaults(run=lambda given: hide(given.source, given.copy, number=given.number, seed=given.seed))
    scoring = commands.add_parser("score")
    scoring.add_argument("copy", type=Path)
    scoring.add_argument("predictions", type=Path, nargs="+")
    scoring.set_defaults(run=lambda given: print(score(given.copy, given.predictions).to_string(index=False)))
    arguments = parser.parse_args()
    arguments.run(arguments)


def hide(source: Path, copy: Path, *, number: int, seed: int) -> None:
    """Copy the images of `source`, with `number` of its test images in unlabelled/, and write down their labels."""
    test = sorted(file for file in (source / "test").glob("*/*") if file.is_file())
    if copy.exists() or len(test) <= number:
        sys.exit(f"error: {f'{copy} exists' if copy.exists() else f'{source}/test has {len(test)} images'}")
    drawn = np.random.default_rng(seed).permutation(len(test))[:number]
    shutil.copytree(source, copy)
    (copy / "unlabelled").mkdir()
    labels = {}
    for place, row in enumerate(drawn.tolist()):
        new = copy / "unlabelled" / f"{place:04d}{test[row].suffix}"
        (copy / test[row].relative_to(source)).rename(new)
        labels[new.name] = test[row].parent.name
    pd.DataFrame(labels.items(), columns=["file", "label"]).to_csv(_hidden(copy), index=False)


def score(copy: Path, files: list[Path]) -> pd.DataFrame:
    """Return a row for each file of predictions, compared with the hidden labels of the copy."""
    hidden = pd.read_csv(_hidden(copy)).set_index("file")["label"]
    rows = []
    for file in files:
        found = pd.read_csv(file)
        names = found["file"].map(lambda name: Path(name).name)
        if sorted(names) != sorted(hidden.index):
            sys.exit(f"error: {file}: its images are not those of {_hidden(copy)}")
        right = int((found["label"].to_numpy() == hidden[names].to_numpy()).sum())
        interval = binomtest(right, len(found)).proportion_ci(0.95)
        rows.append(
            {
                "predictions": file.parent.name,
                "right": f"{right} of {len(found)}",
                "accuracy %": f"{100 * right / len(found):.2f}",
                "95 % interval": f"{100 * interval.low:.2f} to {100 * interval.high:.2f}",
                "claimed %": f"{100 * found['probability'].mean():.2f}",
            }
        )
    return pd.DataFrame(rows)


def _hidden(copy: Path) -> Path:
    return copy.with_name(f"{copy.name}.csv")


if __name__ == "__main__":
    main()

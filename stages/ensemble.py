"""data/probs -> data/ensembles/<name>: Probs of the ensemble, predictions.csv of the unlabelled images."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from touchstone import params
from touchstone.ensembles import combine, decider, sound
from touchstone.imageset import replaced
from touchstone.probs import load_diverged, load_probs, predictions
from touchstone.stage import run


def main() -> None:
    files = pd.read_csv("data/prepared/files.csv", dtype=str, keep_default_na=False)
    names = files.loc[files["split"] == "unlabelled", "file"].tolist()
    classes = json.loads(Path("data/prepared/meta.json").read_text())["classes"]
    with replaced(Path("data/ensembles")) as folder:
        for name, ensemble in params.load().ensembles.items():
            (folder / name).mkdir()
            diverged = [run for run, seeds in load_diverged(Path("data/probs"), ensemble.members).items() if seeds]
            chosen = sound(ensemble.members, diverged)
            for split in ("val", "test", "unlabelled"):
                members = load_probs(Path("data/probs"), chosen, split)
                probs = combine(ensemble.rule, members, prefer=decider(chosen, ensemble.prefer))
                np.save(folder / name / f"{split}.npy", probs)
            predictions(probs, names, classes).to_csv(folder / name / "predictions.csv", index=False)


if __name__ == "__main__":
    run(main)

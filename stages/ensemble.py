"""data/probs -> data/ensembles/<name>: Probs of the ensemble, predictions.csv of the unlabelled images."""

import json
from pathlib import Path
from typing import Any

from touchstone.config.settings import load_settings
from touchstone.data.folders import replaced
from touchstone.data.imageset import read_files, read_table
from touchstone.data.labels import encode
from touchstone.evaluation.ensembles import combine, member_weights, tie_breaker, without_diverged
from touchstone.evaluation.measures import measure
from touchstone.evaluation.probs import load_diverged, load_probs, predictions
from touchstone.evaluation.thresholds import member_thresholds, thresholds_of
from touchstone.stage import run

import numpy as np

SETTINGS = ("compare", "ensembles", "seed")
PREPARED, PROBS = Path("data/prepared"), Path("data/probs")


def main() -> None:
    names = read_files(PREPARED, "unlabelled")
    meta = json.loads((PREPARED / "meta.json").read_text())
    labels = encode(read_table(PREPARED / "val"), meta)
    settings = load_settings("ensemble")
    with replaced(Path("data/ensembles")) as folder:
        for name, ensemble in settings.ensembles.items():
            (folder / name).mkdir()
            diverged = [run for run, seeds in load_diverged(PROBS, ensemble.members).items() if seeds]
            chosen = without_diverged(ensemble.members, diverged)
            members = {split: load_probs(PROBS, chosen, split) for split in ("val", "test", "unlabelled")}
            judge = measure(labels, settings.compare, seed=settings.seed)
            how: Any = {"name": name, "score": lambda probs, judge=judge: judge.value(probs, labels)}
            weights = member_weights(ensemble.rule, members["val"], labels, **how)
            if weights is not None:
                (folder / name / "weights.json").write_text(json.dumps(weights, indent=2) + "\n")
            votes = member_thresholds(name, members["val"], labels, settings)
            prefer = tie_breaker(chosen, ensemble.prefer)
            probs = {}
            for split, of_members in members.items():
                probs[split] = combine(ensemble.rule, of_members, prefer=prefer, thresholds=votes, weights=weights)
                np.save(folder / name / f"{split}.npy", probs[split])
            own = thresholds_of(name, probs["val"], labels, settings)
            table = predictions(probs["unlabelled"], names, meta["classes"], own)
            table.to_csv(folder / name / "predictions.csv", index=False)


if __name__ == "__main__":
    run(main)

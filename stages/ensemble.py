"""data/probs -> data/ensembles/<name>: Probs of the ensemble, predictions.csv of the unlabelled images."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from touchstone.config import params
from touchstone.data.imageset import read_files, read_table, replaced
from touchstone.data.labels import encode
from touchstone.evaluation.ensembles import combine, decider, found_weights, sound
from touchstone.evaluation.measures import measure
from touchstone.evaluation.probs import load_diverged, load_probs, predictions
from touchstone.evaluation.thresholds import choose
from touchstone.stage import run

PREPARED, PROBS = Path("data/prepared"), Path("data/probs")


def main() -> None:
    names = read_files(PREPARED, "unlabelled")
    meta = json.loads((PREPARED / "meta.json").read_text())
    labels = encode(read_table(PREPARED / "val"), meta)
    settings = params.load()
    with replaced(Path("data/ensembles")) as folder:
        for name, ensemble in settings.ensembles.items():
            (folder / name).mkdir()
            diverged = [run for run, seeds in load_diverged(PROBS, ensemble.members).items() if seeds]
            chosen = sound(ensemble.members, diverged)
            members = {split: load_probs(PROBS, chosen, split) for split in ("val", "test", "unlabelled")}
            votes, own = None, None
            judge = measure(labels, settings.compare, seed=settings.seed)
            how: Any = {"name": name, "score": lambda probs, judge=judge: judge.value(probs, labels)}
            weights = found_weights(ensemble.rule, members["val"], labels, **how)
            if weights is not None:
                (folder / name / "weights.json").write_text(json.dumps(weights, indent=2) + "\n")
            if labels.ndim == 2:
                votes = {run: choose(p, labels, rule=ensemble.thresholds) for run, p in members["val"].items()}
            probs = {}
            for split, found in members.items():
                prefer = decider(chosen, ensemble.prefer)
                probs[split] = combine(ensemble.rule, found, prefer=prefer, thresholds=votes, weights=weights)
                np.save(folder / name / f"{split}.npy", probs[split])
            if labels.ndim == 2:
                own = choose(probs["val"], labels, rule=settings.thresholds(name))
            table = predictions(probs["unlabelled"], names, meta["classes"], own)
            table.to_csv(folder / name / "predictions.csv", index=False)


if __name__ == "__main__":
    run(main)

"""Probs x labels, histories -> data/evaluated/metrics.json, metrics/summary.json, data/plots/<kind>/<name>.csv."""

import json
from pathlib import Path
from typing import Any

from touchstone.config.resolved import read
from touchstone.config.settings import load_settings
from touchstone.data.folders import replaced
from touchstone.data.imageset import group_indices, read_table
from touchstone.data.labels import encode
from touchstone.evaluation.convergence import convergence, load_histories
from touchstone.evaluation.evaluate import evaluate, plots
from touchstone.evaluation.measures import measure
from touchstone.evaluation.probs import load_all, load_diverged, load_every_weights
from touchstone.evaluation.results import results
from touchstone.evaluation.summary import gains, of_runs, save, val_losses
from touchstone.stage import run

SETTINGS = ("arms", "compare", "ensembles", "finetunes", "models", "seed", "students", "transforms")
DATA, PREPARED = Path("data"), Path("data/prepared")


def main() -> None:
    settings = load_settings("evaluate")
    meta = json.loads((PREPARED / "meta.json").read_text())
    tables = {split: read_table(PREPARED / split) for split in ("val", "test")}
    labels, groups = {split: encode(table, meta) for split, table in tables.items()}, group_indices(tables["test"])
    val, test = (load_all(DATA, settings, split) for split in ("val", "test"))
    diverged = load_diverged(DATA / "probs", settings.runs)
    overlap = json.loads((PREPARED / "findings/summary.json").read_text()).get("overlap", 0.0)
    options: Any = {"groups": groups, "overlap": overlap, "own_images": read("replicates")["fits"] > 1}
    judge = measure(labels["test"], settings.compare, seed=settings.seed, **options)
    weights = load_every_weights(DATA / "ensembles", settings)
    every = results(settings, test, val, labels["val"], diverged, measure=judge, weights=weights)
    metrics, histories = evaluate(every, judge), load_histories(DATA / "runs", settings.runs)
    for name, row in convergence(histories, settings, diverged).items():
        metrics[name] |= row
    with replaced(DATA / "plots") as folder:
        gains(metrics).to_csv(folder / "gains.csv", index=False)
        val_losses(histories, diverged).to_csv(folder / "val_loss.csv", index=False)
        for kind in ("confusion", "classes", "precision_recall", "reliability"):
            (folder / kind).mkdir()
        for kind, name, table in plots(every, labels["test"], meta["classes"], settings.compare, groups, overlap):
            table.to_csv(folder / kind / f"{name}.csv", index=False)
    save(DATA / "evaluated", metrics=metrics)
    save(Path("metrics"), summary=of_runs(metrics))


if __name__ == "__main__":
    run(main)

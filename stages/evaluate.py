"""Probs x labels -> metrics/metrics.json, data/plots/{confusion,classes}/<name>.csv."""

import json
from pathlib import Path

import pandas as pd

from touchstone import params
from touchstone.evaluation import class_table, confusion_table, entries, evaluate
from touchstone.imageset import class_indices, replaced
from touchstone.probs import load_all, load_diverged
from touchstone.stage import run

PREPARED = Path("data/prepared")


def main() -> None:
    settings = params.load()
    classes = json.loads((PREPARED / "meta.json").read_text())["classes"]
    labels = {
        split: class_indices(
            pd.read_csv(PREPARED / split / "table.csv", dtype=str, keep_default_na=False)["label"], classes
        )
        for split in ("val", "test")
    }
    val, test = (load_all(Path("data"), settings, split) for split in ("val", "test"))
    diverged = load_diverged(Path("data/probs"), settings.runs)
    every = entries(settings, test, val, labels["val"], diverged)
    with replaced(Path("data/plots")) as folder:
        for kind, table in (("confusion", confusion_table), ("classes", class_table)):
            (folder / kind).mkdir()
            for entry in every:
                table(entry, labels["test"], classes).to_csv(folder / kind / f"{entry.name}.csv", index=False)
    Path("metrics").mkdir(exist_ok=True)
    text = json.dumps(evaluate(every, labels["test"], settings), indent=2, sort_keys=True)
    Path("metrics/metrics.json").write_text(text + "\n")


if __name__ == "__main__":
    run(main)

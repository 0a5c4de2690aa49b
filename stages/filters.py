"""generators + data/encoder -> data/filters/<generator>.json: the hashes of the classifiers that filter its samples.

A new encoder thus runs the sampling of the generators that it filters again, and nothing else.
"""

import json
from pathlib import Path

from touchstone.config.resolved import read
from touchstone.data.folders import replaced
from touchstone.stage import run

SETTINGS = ("generators",)


def main() -> None:
    settings = read("filters")
    weights = json.loads(Path("data/encoder/model.json").read_text())["weights"]
    others = [*weights.values()][1:]  # the audit judges by the first one's features
    fits = read("replicates")["fits"]
    # One for each set of training images. There is none without generators.
    classifiers = [others[number % len(others)] for number in range(fits)] if others else []
    with replaced(Path("data/filters")) as folder:
        (folder / "README").write_text("The classifier that filters each generator's samples, by hash.\n")
        for name, generator in settings["generators"].items():
            wanted = classifiers if generator["sample"]["filter"]["min_confidence"] > 0 else [None] * fits
            (folder / f"{name}.json").write_text(json.dumps({"classifiers": wanted}) + "\n")


if __name__ == "__main__":
    run(main)

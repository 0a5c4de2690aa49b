"""generators + data/encoder -> data/filters/<generator>.json: the hash of the classifier that filters its samples.

A new encoder thus runs the sampling of the generators that it filters again, and nothing else.
"""

import json
from pathlib import Path

from touchstone.config.resolved import read
from touchstone.data.folders import replaced
from touchstone.stage import run

SETTINGS = ("audit.seed", "generators")


def main() -> None:
    settings = read("filters")
    weights = json.loads(Path("data/encoder/model.json").read_text())["weights"]
    second = weights.get(str(settings["audit"]["seed"] + 1))  # the audit judges by the first one's features
    with replaced(Path("data/filters")) as folder:
        (folder / "README").write_text("The classifier that filters each generator's samples, by hash.\n")
        for name, generator in settings["generators"].items():
            wanted = generator["sample"]["filter"]["min_confidence"] > 0
            (folder / f"{name}.json").write_text(json.dumps({"classifier": second if wanted else None}) + "\n")


if __name__ == "__main__":
    run(main)

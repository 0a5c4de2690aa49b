"""generators + data/encoder -> data/filters/<generator>.json: who filters each, so that
a new encoder samples anew what it filters and nothing else.
"""

import json
from pathlib import Path

from touchstone.config import params
from touchstone.data.imageset import replaced
from touchstone.stage import run


def main() -> None:
    settings = params.load()
    weights = json.loads(Path("data/encoder/model.json").read_text())["weights"]
    with replaced(Path("data/filters")) as folder:
        (folder / "README").write_text("The classifier that filters each generator's samples, by hash.\n")
        for name in settings.generators:
            wanted = settings.generator(name).sample.filter.min_confidence > 0
            second = weights[str(settings.audit.seed + 1)]  # the first one's features are what the audit judges by
            note = {"classifier": second if wanted else None}
            (folder / f"{name}.json").write_text(json.dumps(note) + "\n")


if __name__ == "__main__":
    run(main)

"""src, stages -> data/code/<script>.json: the hash of every file of this project that a stage's script imports.

A stage depends on its own note: what it does not import re-runs nothing, and dvc.lock stays small.
"""

import json
from pathlib import Path

from touchstone.code_hash import hashes
from touchstone.data.imageset import replaced
from touchstone.stage import run

STAGES = Path("stages")


def main() -> None:
    with replaced(Path("data/code")) as folder:
        for script in sorted(STAGES.glob("*.py")):
            text = json.dumps(hashes(script, root=Path()), indent=2)
            (folder / f"{script.stem}.json").write_text(text + "\n")


if __name__ == "__main__":
    run(main)

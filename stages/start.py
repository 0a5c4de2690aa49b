"""start@<finetune>: the run that a finetune starts from -> data/starts/<finetune>.json, a note of its weights."""

import sys
from pathlib import Path

from touchstone.config import params
from touchstone.models.starts import Start
from touchstone.stage import run

DATA = Path("data")


def main() -> None:
    name = sys.argv[1]
    origin = params.load().finetune(name).init_from
    Start.of(origin, runs=DATA / "runs").write(DATA / f"starts/{name}.json")


if __name__ == "__main__":
    run(main)

"""start@<finetune>: the run that a finetune starts from -> data/starts/<finetune>.json, a note of its weights."""

import sys
from pathlib import Path

from touchstone.models.initial_weights import InitialWeights
from touchstone.stage import run

DATA = Path("data")


def main() -> None:
    finetune, init_from = sys.argv[1:]
    InitialWeights.of_run(init_from, runs=DATA / "runs").write(DATA / f"starts/{finetune}.json")


if __name__ == "__main__":
    run(main)

"""teach@<student>-<model>-<arm>: a model's run -> data/teachers/<student>-<arm>/<model>.json.

A note of its weights where the student learns from the model; else null, which trains no student again.
"""

import sys
from pathlib import Path

from touchstone.config.resolved import load as load_settings
from touchstone.config.schema.model import Model
from touchstone.models.teachers import write_note
from touchstone.stage import run

DATA = Path("data")


def main() -> None:
    student, model, arm = sys.argv[1:]
    teaches = model in load_settings(Model, f"models/{student}").teachers
    file = DATA / f"teachers/{student}-{arm}/{model}.json"
    write_note(file, f"{model}-{arm}" if teaches else None, runs=DATA / "runs")


if __name__ == "__main__":
    run(main)

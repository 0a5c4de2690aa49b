"""What the run of a recipe cost, in recipes/<name>/cost.json: seconds in all, seconds of training, and the processors.

The file differs from run to run, so nothing is compared with it. The seconds are those of stages, which may run side by
side, beside other work; a training that was killed counts from where it was resumed.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from touchstone.report import runtime

FILE = "cost.json"


def record(folder: Path, notes: Path, *, runs: Iterable[str]) -> None:
    """Write down what the notes of stages say; where a run has none, its training was not done here: remove the file.

    folder: the recipe's. notes: the folder in which stages note their cost (`stage.RUNTIME`). runs: such as lenet-real.
    """
    all_notes = runtime.read(notes)
    trained = {run: [note for note in all_notes if _is_of(note, run)] for run in runs}
    file = folder / FILE
    if not all(trained.values()):
        file.unlink(missing_ok=True)
        return
    hardware = [note.get("hardware", {}) for of_run in trained.values() for note in of_run]
    processors = {f"{each.get('processor')}, {each.get('cores')} cores, {each.get('vectors')}" for each in hardware}
    costs = {
        "seconds": _seconds(all_notes),
        "trained": {run: _seconds(of_run) for run, of_run in trained.items()},
        "processors": sorted(processors),
    }
    file.write_text(json.dumps(costs, indent=2) + "\n", encoding="utf-8")


def minutes(folder: Path, run: str) -> str:
    """Return the minutes of a run's training, over all replicates, as text; "" where they are not known."""
    file = folder / FILE
    trained = json.loads(file.read_text(encoding="utf-8"))["trained"] if file.is_file() else {}
    return f"{trained[run] / 60:.1f}" if run in trained else ""


def _is_of(note: dict[str, Any], run: str) -> bool:
    """Whether a note is of the training of a run, or of one seed of it (train@lenet-real~1)."""
    return str(note["stage"]).partition("~")[0] == f"train@{run}"


def _seconds(notes: list[dict[str, Any]]) -> float:
    return round(sum(float(note["seconds"]) for note in notes), 1)

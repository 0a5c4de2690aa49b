"""Records the cost of running a recipe in recipes/<name>/cost.json: seconds in all, those of training, the hardware.

The file differs from run to run, so nothing is compared with it. The seconds are those of stages, which may run side by
side, beside other work; those of a stage that came from a cache are not known, and `from_cache` lists it. A training
that was killed counts from where it was resumed, without the replicates that had ended by then.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from touchstone import notes

FILE = "cost.json"
TRAINING = ("train", "finetune", "student")  # the stages that train nets


def record(folder: Path, noted: Path, *, stages: Iterable[str]) -> None:
    """Write down what the notes of stages say; where all trainings came from a cache, remove the file.

    folder: the recipe's. noted: the folder of their notes (`notes.RUNTIME`). stages: those of its
    graph.
    """
    by_stage: dict[str, list[dict[str, Any]]] = {name: [] for name in stages}
    for note in notes.read(noted):
        stage = str(note["stage"]).partition("~")[0]  # train@lenet-real~1 is one seed's
        if stage in by_stage:
            by_stage[stage].append(note)
    parted = {name: name.partition("@") for name in sorted(by_stage)}
    trained = {run: by_stage[name] for name, (kind, _, run) in parted.items() if kind in TRAINING and by_stage[name]}
    file = folder / FILE
    if not trained:
        file.unlink(missing_ok=True)
        return
    costs = {
        "seconds": _seconds([note for of_stage in by_stage.values() for note in of_stage]),
        "from_cache": [name for name in parted if not by_stage[name]],
        "trained": {run: _seconds(of_run) for run, of_run in trained.items()},
        "hardware": sorted({_hardware(note) for of_run in trained.values() for note in of_run}),
    }
    file.write_text(json.dumps(costs, indent=2) + "\n", encoding="utf-8")


def minutes(folder: Path, run: str) -> str:
    """Return the minutes of a run's training, over all replicates, as text; "" where they are not known."""
    file = folder / FILE
    trained = json.loads(file.read_text(encoding="utf-8"))["trained"] if file.is_file() else {}
    return f"{trained[run] / 60:.1f}" if run in trained else ""


def _hardware(note: dict[str, Any]) -> str:
    hardware = note.get("hardware", {})
    text = f"{hardware.get('processor')}, {hardware.get('cores')} cores, {hardware.get('vectors')}"
    return f"{text}, {hardware['gpu']}" if "gpu" in hardware else text


def _seconds(notes: list[dict[str, Any]]) -> float:
    return round(sum(float(note["seconds"]) for note in notes), 1)

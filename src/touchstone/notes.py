"""Notes of what stages cost: seconds, memory, hardware and versions, on which no result depends.

`stage.run` writes one per stage, metrics/runtime/<stage>.json, and one per seed that is a job of its own,
<stage>~<seed>.json. A note that is missing or damaged is left out: a kill may have cut it short.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

RUNTIME = Path("metrics/runtime")  # ignored by git, and no stage's output
MADE = "made"  # the key under which a note has the hashes of what its stage made


def write(folder: Path, name: str, note: dict[str, Any]) -> None:
    """Write the note of a stage, or of the job of a seed, at once: others may be reading it."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f".{name}.new"
    new.write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    new.replace(folder / f"{name}.json")


def read(folder: Path) -> list[dict[str, Any]]:
    """Return the notes below `folder`, by their start, then by name."""
    found = [{"stage": file.stem, **note} for file in folder.glob("*.json") if (note := _read(file)) is not None]
    return sorted(found, key=lambda note: (str(note.get("started", "")), str(note["stage"])))


def seconds(folder: Path) -> dict[str, float]:
    """Return how long each stage, and the job of each seed, took when it last ran here."""
    return {
        str(note["stage"]): float(note["seconds"])
        for note in read(folder)
        if isinstance(note.get("seconds"), int | float)
    }


def tie(folder: Path, stage: str, made: dict[str, str]) -> None:
    """Write into the note of a stage that has ended, and those of its seeds, which outputs it is of.

    made: path -> hash of each output. A stage that runs writes a new note, without them. So where a note has other
    ones, the outputs came from the run-cache, and the note is of another run: it is removed.
    """
    for file in (folder / f"{stage}.json", *folder.glob(f"{stage}~*.json")):
        note = _read(file)
        with suppress(OSError):  # no result depends on a note, so a full disk there should stop nothing
            if note is None or note.get(MADE, made) != made:
                file.unlink(missing_ok=True)
            elif MADE not in note:
                write(folder, file.stem, note | {MADE: made})


def _read(file: Path) -> dict[str, Any] | None:
    try:
        note = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None

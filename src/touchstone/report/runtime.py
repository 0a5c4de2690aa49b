"""The notes of stages about seconds, memory, hardware and versions -> a page of timings, on which no result depends."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from touchstone.report import environment
from touchstone.report.table import Table


def render(folder: Path) -> str:
    """The HTML text of every readable note in `folder`; a note that is missing or damaged is left out."""
    notes = read(folder)
    seconds = sum(float(note["seconds"]) for note in notes if isinstance(note.get("seconds"), int | float))
    return (
        environment(autoescape=True)
        .get_template("runtime.html.j2")
        .render(
            table=table(notes),
            total=_duration(seconds),
            hardware=shared(notes, "hardware"),
            versions=shared(notes, "versions"),
        )
    )


def read(folder: Path) -> list[dict[str, Any]]:
    """The notes below `folder`, by their start, then by name."""
    notes = []
    for file in sorted(folder.glob("*.json")):
        try:
            note = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(note, dict):
            notes.append({"stage": file.stem, **note})
    return sorted(notes, key=lambda note: (str(note.get("started", "")), str(note["stage"])))


def table(notes: list[dict[str, Any]]) -> Table:
    """One row per stage, with an en dash for what its note lacks."""
    rows = [
        [
            str(note["stage"]),
            _number(note.get("seconds"), 2),
            _rates(note.get("images_per_second")),
            _number(note.get("peak_memory_mib"), 0),
            str(note.get("started", "–")).replace("T", " ").replace("+00:00", " UTC"),
        ]
        for note in notes
    ]
    return Table("lrrrl", ["stage", "seconds", "images per second", "peak memory MiB", "started"], rows)


def shared(notes: list[dict[str, Any]], key: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each distinct value of a key once: the stages that share it, and its pairs."""
    groups: dict[str, list[str]] = {}
    for note in notes:
        if isinstance(note.get(key), dict):
            groups.setdefault(json.dumps(note[key]), []).append(str(note["stage"]))
    titles = {text: "all stages" if len(groups) == 1 else ", ".join(stages) for text, stages in groups.items()}
    return [(titles[text], [(str(key), str(value)) for key, value in json.loads(text).items()]) for text in groups]


def _number(value: object, digits: int) -> str:
    return f"{value:,.{digits}f}" if isinstance(value, int | float) else "–"


def _rates(value: object) -> str:
    """One number per seed."""
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return " / ".join(_number(item, 0) for item in values)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"

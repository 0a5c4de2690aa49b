"""The notes of stages about seconds, memory, hardware and versions -> a page of timings, on which no result depends."""

import json
from pathlib import Path
from typing import Any

from touchstone import notes
from touchstone.report.pages import environment
from touchstone.report.table import Table


def render(folder: Path) -> str:
    """The HTML text of every readable note in `folder`; a note that is missing or damaged is left out."""
    found = notes.read(folder)
    seconds = round(sum(float(note["seconds"]) for note in found if isinstance(note.get("seconds"), int | float)))
    minutes, rest = divmod(seconds, 60)
    template = environment(autoescape=True).get_template("runtime.html.j2")
    return template.render(
        table=_table(found),
        total=f"{minutes} min {rest:02} s" if minutes else f"{seconds} s",
        hardware=shared(found, "hardware"),
        versions=shared(found, "versions"),
    )


def _table(found: list[dict[str, Any]]) -> Table:
    """One row per stage, with an en dash for what its note lacks."""
    rows = []
    for note in found:
        rates = note.get("images_per_second")  # one number per seed
        rates = rates if isinstance(rates, list) else [rates]
        started = str(note.get("started", "–")).replace("T", " ").replace("+00:00", " UTC")
        numbers = [_number(note.get("seconds"), 2), " / ".join(_number(rate, 0) for rate in rates)]
        rows.append([str(note["stage"]), *numbers, _number(note.get("peak_memory_mib"), 0), started])
    return Table("lrrrl", ["stage", "seconds", "images per second", "peak memory MiB", "started"], rows)


def shared(found: list[dict[str, Any]], key: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Group the notes by their value of a key: the names of the stages, and the items of the value."""
    groups: dict[str, list[str]] = {}
    for note in found:
        if isinstance(note.get(key), dict):
            groups.setdefault(json.dumps(note[key]), []).append(str(note["stage"]))
    titles = {text: "all stages" if len(groups) == 1 else ", ".join(stages) for text, stages in groups.items()}
    return [(titles[text], [(str(key), str(value)) for key, value in json.loads(text).items()]) for text in groups]


def _number(value: object, digits: int) -> str:
    return f"{value:,.{digits}f}" if isinstance(value, int | float) else "–"

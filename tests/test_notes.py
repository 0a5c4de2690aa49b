"""Notes of what stages cost."""

import json
from pathlib import Path

from touchstone import notes

MADE, OTHER = {"data/a": "1" * 32}, {"data/a": "2" * 32}


def test_notes_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    notes.write(tmp_path / "notes", "b", {"stage": "b", "seconds": 2, "started": "2024-01-01"})
    notes.write(tmp_path / "notes", "a", {"stage": "a", "seconds": "long", "started": "2024-01-02"})
    (tmp_path / "notes/cut.json").write_text('{"stage": "cu')
    (tmp_path / "notes/list.json").write_text("[1]")
    assert [note["stage"] for note in notes.read(tmp_path / "notes")] == ["b", "a"]
    assert notes.seconds(tmp_path / "notes") == {"b": 2.0}
    assert notes.read(tmp_path / "none") == []


def test_a_note_stays_as_long_as_the_outputs_are_those_it_is_of(tmp_path: Path) -> None:
    for name in ("train@a", "train@a~1", "train@ab"):
        notes.write(tmp_path, name, {"stage": name, "seconds": 1})
    (tmp_path / "train@a~2.json").write_text("{")
    for _ in range(2):  # a second time, the outputs are the same
        notes.tie(tmp_path, "train@a", MADE)
        kept = {file.stem: json.loads(file.read_text()).get(notes.MADE) for file in tmp_path.glob("*.json")}
        assert kept == {"train@a": MADE, "train@a~1": MADE, "train@ab": None}
    notes.tie(tmp_path, "train@a", OTHER)  # from the run-cache: no new note was written
    assert [file.stem for file in tmp_path.glob("*.json")] == ["train@ab"]
    notes.tie(tmp_path, "none", MADE)

"""The page of timings."""

import json
from pathlib import Path

from touchstone import notes
from touchstone.report import runtime


def test_runtime_notes(tmp_path: Path) -> None:
    hardware = {"system": "Linux <1>", "cores": 2}
    note = {"stage": "train@a", "seconds": 61.5, "peak_memory_mib": 1234, "started": "2024-01-02T03:04:05+00:00"}
    note |= {"images_per_second": [3036, 640], "hardware": hardware, "versions": {"python": "3.11"}}
    (tmp_path / "train@a.json").write_text(json.dumps(note))
    (tmp_path / "check.json").write_text(
        json.dumps({"stage": "check", "hardware": hardware, "versions": {"python": "3"}})
    )
    (tmp_path / "broken.json").write_text("{")
    page = runtime.render(tmp_path)
    assert [text in page for text in ("61.50", "3,036 / 640", "1,234", "2024-01-02 03:04:05 UTC", "1 min 02 s")] == [
        True
    ] * 5
    assert page.count("Linux &lt;1&gt;") == 1  # equal for both
    assert len(runtime.shared(notes.read(tmp_path), "versions")) == 2
    assert "broken" not in page


def test_runtime_without_notes(tmp_path: Path) -> None:
    assert "No stage has left a note yet." in runtime.render(tmp_path / "none")

"""Explanations that a killed process has finished are kept."""

from pathlib import Path

import pytest

from touchstone.explain.resumed import resumed_folders


def test_what_is_finished_is_not_made_again_unless_inputs_change(tmp_path: Path) -> None:
    made: list[str] = []

    def make(name: str, folder: Path) -> None:
        made.append(name)
        if name == "c" and made.count("c") == 1:
            raise KeyboardInterrupt
        (folder / "text").write_text(name)

    def run(to: str, fingerprint: str = "1" * 64) -> None:
        resumed_folders(["a", "b", "c"], make, to=tmp_path / to, store=tmp_path / "store", fingerprint=fingerprint)

    with pytest.raises(KeyboardInterrupt):
        run("first")
    run("second")
    assert made == ["a", "b", "c", "c"]
    assert [(tmp_path / f"second/{name}/text").read_text() for name in "abc"] == ["a", "b", "c"]
    run("forced")
    assert made[4:] == ["a", "b", "c"], "a stage that was complete and runs again is a check"
    run("other", fingerprint="2" * 64)
    assert made[7:] == ["a", "b", "c"]

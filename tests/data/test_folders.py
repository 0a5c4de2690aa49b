from pathlib import Path

import pytest

from touchstone.data.folders import replaced


def test_a_failure_leaves_the_old_folder(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/old").touch()

    def fail() -> None:
        with replaced(tmp_path / "x") as new:
            (new / "half").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.rglob("*")] == ["x", "old"]
    with replaced(tmp_path / "x") as new:
        (new / "whole").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["whole", "x"]

"""Tests what `touchstone new` takes from the clone that it is run from."""

from pathlib import Path

import pytest

from kit.project import run
from touchstone.errors import TouchstoneError
from touchstone.studies import new_project as new
from touchstone.studies.new_project import new_project


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small clone of the pipeline, as git knows it."""
    source = tmp_path / "clone"
    for name in ("dvc.yaml", "params.yaml", "stages/settings.py", "src/one.py", "src/two.py", "docs/a.md"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "start")):
        run("git", *command, cwd=source)
    monkeypatch.setattr(new, "SOURCE", source)
    return source


def test_files_that_were_removed_and_not_committed_are_left_out(tmp_path: Path, clone: Path) -> None:
    (clone / "src/two.py").unlink()
    assert new_project(tmp_path / "mine") == 5
    found = {file.relative_to(tmp_path / "mine").as_posix() for file in (tmp_path / "mine").rglob("*.py")}
    assert found == {"stages/settings.py", "src/one.py"}


@pytest.mark.parametrize("inside_another", [False, True])
def test_files_without_git_are_one_line_and_leave_nothing(tmp_path: Path, clone: Path, inside_another: bool) -> None:
    (clone / ".git").rename(tmp_path / "away")
    if inside_another:
        run("git", "init", "-q", cwd=tmp_path)
    with pytest.raises(TouchstoneError) as refused:
        new_project(tmp_path / "mine")
    assert str(refused.value).startswith(f"{clone}: is no clone, so git cannot tell the pipeline's files")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "mine").exists()


def test_a_pipeline_that_a_larger_repository_keeps_is_a_clone(tmp_path: Path, clone: Path) -> None:
    (clone / ".git").rename(tmp_path / "away")
    for command in (("init", "-q"), ("add", "clone"), ("commit", "-q", "-m", "start")):
        run("git", *command, cwd=tmp_path)
    assert new_project(tmp_path / "mine") == 6
    assert (tmp_path / "mine/src/two.py").read_text() == "src/two.py"


def test_an_error_of_git_is_not_taken_for_a_missing_clone(
    tmp_path: Path, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clone / ".git").rename(tmp_path / "away")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("touchstone.studies.commands.search_path", str)
    with pytest.raises(TouchstoneError, match=r"^git: no such command on PATH"):
        new_project(tmp_path / "mine")

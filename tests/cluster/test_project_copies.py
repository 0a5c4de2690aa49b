"""A worker's copy of the project: what git knows is copied, what people put beside it is linked."""

from pathlib import Path

from kit.project import run
from touchstone.cluster.copies import copy_project, project_files


def test_images_that_git_ignores_are_there_and_files_that_are_edited_later_are_not(tmp_path: Path) -> None:
    root, copy = tmp_path / "project", tmp_path / "copy"
    own = root / "data/external/own"
    own.mkdir(parents=True)
    (root / ".gitignore").write_text("/data/external/own/?*\n!/data/external/own/README.md\n")
    (root / "params.yaml").write_text("a: 1\n")
    (own / "README.md").write_text("pictures\n")
    (own / "cat.png").write_bytes(b"cat")
    run("git", "init", "-q", cwd=root)
    copy_project(root, copy, names=project_files(root), cache=root / ".dvc/cache")
    (root / "params.yaml").write_text("a: 2\n")
    assert (copy / "data/external/own/cat.png").read_bytes() == b"cat"
    assert (copy / "data/external/own/README.md").exists()
    assert (copy / "params.yaml").read_text() == "a: 1\n"
    (copy / ".touchstone/state").write_text("shared")
    assert (root / ".touchstone/state").read_text() == "shared"

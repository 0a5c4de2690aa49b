from pathlib import Path

import pytest
from dvc.repo import Repo

from kit.project import project, run
from kit.studies import recipe
from touchstone.studies.workspace import copy_project


def test_a_copy_has_the_code_its_own_params_and_the_shared_cache(tmp_path: Path) -> None:
    root, to = project(tmp_path / "root"), tmp_path / "copy"
    (root / "data/external/mine").mkdir()
    copy_project(root, to, settings="seed: 1\n")
    assert (to / "params.yaml").read_text() == "seed: 1\n"
    assert (to / "src/touchstone/seeds.py").read_bytes() == (root / "src/touchstone/seeds.py").read_bytes()
    assert (to / "data/external/mine").is_dir()
    assert run("dvc", "cache", "dir", cwd=to).stdout.strip() == str(root / ".dvc/cache")
    (root / "src/touchstone/seeds.py").unlink()
    (to / "dvc.lock").write_text("its own")
    copy_project(root, to, settings="seed: 2\n")
    assert not (to / "src/touchstone/seeds.py").exists()
    assert (to / "dvc.lock").read_text() == "its own"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["digit"], "; did you mean digits?"),
        (["digits", "-S", "train.lrr=1"], "did you mean lr?"),
        (["digits", "-S", "nonsense"], "expected section.key=value"),
    ],
)
def test_bad_studies_are_one_line(tmp_path: Path, arguments: list[str], part: str) -> None:
    done = run("touchstone", "study", *arguments, cwd=project(tmp_path), check=False)
    assert done.returncode == 1
    assert part in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_study_keeps_its_products_and_leaves_the_project_alone(tmp_path: Path) -> None:
    root = project(tmp_path)
    recipe(root, "tiny")
    before = run("git", "status", "--porcelain", cwd=root).stdout
    run("touchstone", "study", "tiny", cwd=root)
    assert (root / "recipes/tiny/report.md").read_text().startswith("# Touchstone report")
    assert '"lenet-real"' in (root / "recipes/tiny/metrics.json").read_text()
    assert run("git", "status", "--porcelain", cwd=root).stdout == before
    again = run("touchstone", "study", "tiny", cwd=root)
    assert "Running stage" not in again.stdout


def test_an_own_folder_given_to_dvc_is_seen_by_git_and_by_dvc(tmp_path: Path) -> None:
    """The ignore rules must let data/external/<name>.dvc through for both, or `dvc push` leaves it out."""
    root = project(tmp_path / "root")
    (root / "data/external/pictures/cat").mkdir(parents=True)
    (root / "data/external/pictures/cat/1.txt").write_text("x")
    run("dvc", "add", "data/external/pictures", cwd=root)
    assert run("git", "status", "--porcelain", cwd=root).stdout == "?? data/external/pictures.dvc\n"
    run("git", "add", "-A", cwd=root)
    assert any(stage.addressing.endswith("data/external/pictures.dvc") for stage in Repo(str(root)).index.stages)

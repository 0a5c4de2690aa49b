"""Stale results, with a real DVC: what is of other inputs is named, and nothing is that a run would leave as it is."""

import shutil
from pathlib import Path

import pytest

from kit.project import run
from touchstone.errors import TouchstoneError
from touchstone.studies.stale import have_other_inputs, scores_are_stale, stale_results, stale_stages

STAGES = """
stages:
  make:
    cmd: mkdir -p data/evaluated && cp source.txt data/evaluated/metrics.json
    params:
    - seed
    deps:
    - source.txt
    outs:
    - data/evaluated
  report:
    cmd: mkdir -p metrics && cp data/evaluated/metrics.json metrics/metrics.json
    deps:
    - data/evaluated
    outs:
    - metrics/metrics.json:
        cache: false
  other:
    cmd: cp other.txt metrics/other.txt
    deps:
    - other.txt
    outs:
    - metrics/other.txt
"""
METRICS = Path("metrics/metrics.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stale")
    run("git", "init", "-q", cwd=root)
    run("dvc", "init", "-q", cwd=root)
    (root / "dvc.yaml").write_text(STAGES)
    (root / "params.yaml").write_text("seed: 0\n")
    (root / "source.txt").write_text("1")
    (root / "other.txt").write_text("2")
    run("dvc", "repro", cwd=root)
    return root


@pytest.fixture
def space(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "space"))


def test_what_is_up_to_date_is_not_stale(space: Path) -> None:
    assert stale_stages(space) == {}
    assert not scores_are_stale(space, METRICS)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("source.txt", "other data"),
        ("params.yaml", "seed: 1\n"),
        ("dvc.yaml", STAGES.replace("mkdir -p data/evaluated &&", "mkdir -p  data/evaluated &&")),
    ],
)
def test_other_data_parameters_and_commands_make_what_follows_stale(space: Path, file: str, text: str) -> None:
    (space / file).write_text(text)
    assert stale_results(space) == {"metrics/metrics.json": "report"}
    assert scores_are_stale(space, METRICS)
    done = run("touchstone", "verify", cwd=space, check=False)
    assert done.returncode == 1
    assert (
        "stale: metrics/metrics.json (output of report)\n3 outputs, 3 files, 0.0 MB: all as in dvc.lock" in done.stdout
    )
    assert done.stderr == (
        "error: 1 stale results: they are of other parameters, code or data than the present ones, until "
        "`touchstone repro` has run to its end\n"
    )
    run("dvc", "repro", cwd=space)
    assert run("touchstone", "verify", cwd=space).stdout.endswith("all as in dvc.lock\n")


def test_an_edited_file_is_another_input_of_the_stages_that_read_it(
    space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(space)  # stages in another folder have longer names
    assert not have_other_inputs(space, ["make", "report", "other"])
    (space / "source.txt").write_text("other data")
    assert have_other_inputs(space, ["make"])
    (space / "data/evaluated/metrics.json").write_text("edited, but a stage has made it")
    assert not have_other_inputs(space, ["report", "other"])


def test_in_a_clone_without_data_results_are_as_the_lock_says(space: Path) -> None:
    shutil.rmtree(space / "data")
    shutil.rmtree(space / ".dvc/cache")
    assert stale_results(space) == {}
    assert not scores_are_stale(space, METRICS)
    (space / "params.yaml").write_text("seed: 1\n")
    assert stale_results(space) == {"metrics/metrics.json": "report"}


def test_results_without_an_entry_in_the_lock_are_stale(space: Path) -> None:
    (space / "dvc.lock").unlink()
    assert set(stale_results(space)) == {"metrics/metrics.json", "metrics/other.txt"}


def test_scores_of_another_evaluation_are_stale_and_without_a_lock_nothing_else_is(space: Path) -> None:
    (space / "dvc.lock").unlink()
    assert not scores_are_stale(space, METRICS), "models that were copied alone"
    (space / METRICS).write_text("another study's")
    assert scores_are_stale(space, METRICS)


def test_a_folder_that_is_none_of_dvcs_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TouchstoneError, match="not inside of a DVC repository"):
        stale_results(tmp_path)

"""A recipe with several values of a parameter: DVC's queue runs them, a table keeps the results."""

import subprocess
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from kit.project import ENVIRONMENT, project, run
from kit.studies import recipe
from touchstone.studies.made_by import State, state
from touchstone.studies.sweep import _combinations, _name


def test_combinations_and_names() -> None:
    values = {"train.batch_size": [16, 32], "arms.fixed.add": [["a"], ["a", "b"]]}
    every = _combinations(values)
    assert len(every) == 4
    assert every[1] == {"train.batch_size": 16, "arms.fixed.add": ["a", "b"]}
    assert [_name(1, every[0]), _name(2, every[1])] == ["n1-batch_size-16-add-a", "n2-batch_size-16-add-a-b"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "sweep.yaml: no such file; it should list the values"),
        ("train.lr: 0.1\n", "train.lr: got 0.1, expected a list of values"),
        ("train.lrr:\n- 1\n", "did you mean lr?"),
        ("train.optimizer:\n- adam\n- adamm\n", "did you mean adam?"),
    ],
)
def test_bad_sweeps_are_one_line_before_anything_runs(tmp_path: Path, text: str | None, part: str) -> None:
    root = project(tmp_path)
    recipe(root, "mine")
    if text is not None:
        (root / "recipes/mine/sweep.yaml").write_text(text)
    done = run("touchstone", "sweep", "mine", cwd=root, check=False)
    assert done.returncode == 1
    assert part in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_sweep_keeps_a_table_and_dvc_knows_its_experiments(tmp_path: Path) -> None:
    root = project(tmp_path)
    recipe(root, "mine")
    (root / "recipes/mine/sweep.yaml").write_text("train.batch_size:\n- 8\n- 16\narms.real.add:\n- []\n")
    (root / "docs/mine.md").write_text("<!-- sweep from recipes/mine/experiments.csv -->\n<!-- end -->\n")
    run("touchstone", "sweep", "mine", cwd=root)
    table = pd.read_csv(root / "recipes/mine/experiments.csv")
    assert table["train.batch_size"].tolist() == [8, 16]
    assert set(table["run"]) == {"lenet-real"}
    assert state(root / "recipes/mine", "sweep", root) is State.CURRENT
    assert table["accuracy"].between(0, 1).all()
    page = (root / "docs/mine.md").read_text()
    assert rf"| 8 | \[\] | {100 * table['accuracy'][0]:.2f} |" in page
    assert "n2-batch_size-16" in run("dvc", "exp", "list", cwd=root / ".touchstone/sweeps/mine").stdout
    assert not (root / "data/runs").exists(), "the project's own outputs are left alone"


@pytest.mark.slow
def test_a_sweep_that_was_killed_goes_on_from_its_finished_stages(tmp_path: Path) -> None:
    root = project(tmp_path)
    recipe(root, "mine")
    (root / "recipes/mine/sweep.yaml").write_text("train.batch_size:\n- 8\n- 16\n")
    space = root / ".touchstone/sweeps/mine"
    command = ["touchstone", "sweep", "mine"]
    killed = subprocess.Popen(command, cwd=root, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(space.glob(".dvc/tmp/exps/tmp*/data/prepared/meta.json")):
        assert killed.poll() is None
        time.sleep(0.1)
    killed.kill()
    killed.wait()
    run(*command, cwd=root)
    assert pd.read_csv(root / "recipes/mine/experiments.csv")["train.batch_size"].tolist() == [8, 16]
    assert not [p for p in psutil.process_iter(["cwd"]) if (p.info["cwd"] or "").startswith(str(space))]

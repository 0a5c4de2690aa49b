"""DVC and git as child processes: DVC is found whatever PATH holds, and a git that is missing is one line."""

import ast
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kit.project import ENVIRONMENT, ROOT, project
from kit.studies import TINY, recipe
from touchstone.cli import main
from touchstone.studies.commands import end_all_in

SCRIPT = f"""
import json, pathlib, sys
assert pathlib.Path(sys.executable).parent == pathlib.Path({str(Path(sys.executable).parent)!r}), sys.executable
for file in map(pathlib.Path, sys.argv[1:]):
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({{"lenet-real": {{"accuracy": 0.5}}}}) + "\\n\\n")
"""
STAGES = """
stages:
  augment: {cmd: "true"}
  pretrained: {cmd: "true"}
  find_lr: {cmd: "true"}
  train:
    matrix: {model: [lenet], arm: [real]}
    cmd: python script.py trained.json
    deps: [script.py]
    outs: [trained.json]
  evaluate:
    cmd: python script.py metrics/metrics.json metrics/report.md
    params: [train.batch_size]
    metrics: [metrics/metrics.json: {cache: false}]
    outs: [metrics/report.md: {cache: false}]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The project with stages that only check which `python` runs them."""
    root = project(tmp_path / "root", *TINY)
    (root / "dvc.yaml").write_text(STAGES)
    (root / "script.py").write_text(SCRIPT)
    (root / "yaml.py").write_text("raise ImportError('a file of the project was imported by DVC')")
    recipe(root, "mine")
    (root / "recipes/mine/sweep.yaml").write_text("train.batch_size:\n- 8\n")
    return root


def touchstone(*arguments: str, root: Path, path: Path) -> "subprocess.CompletedProcess[str]":
    """Run the command where PATH is the folder `path` and nothing else."""
    command = [sys.executable, "-P", "-c", "from touchstone.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=root, env=ENVIRONMENT | {"PATH": str(path)}, capture_output=True, text=True)


@pytest.fixture
def only_git(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").symlink_to(str(shutil.which("git", path=os.environ["PATH"])))
    return tmp_path / "bin"


def test_dvc_and_its_python_are_this_interpreters_whatever_path_holds(root: Path, only_git: Path) -> None:
    for command, said in (
        (["repro", "train"], "] train@lenet-real: "),
        (["repro"], "metrics/report.html says more."),
        (["verify"], "3 outputs, 3 files, 0.0 MB: all as in dvc.lock"),
        (["study", "mine"], "kept in recipes/mine"),
    ):
        done = touchstone(*command, root=root, path=only_git)
        assert done.returncode == 0, done.stdout + done.stderr
        assert said in done.stdout
    assert "0.5" in (root / "recipes/mine/metrics.json").read_text()


def test_a_sweep_reaches_dvc_whatever_path_holds(root: Path, only_git: Path) -> None:
    (root / "dvc.yaml").write_text("stages:\n  train: {cmd: 'true', frozen: 3}\n")
    done = touchstone("sweep", "mine", root=root, path=only_git)
    assert done.returncode == 1
    assert done.stderr.startswith("error: dvc exp run --queue --name n1-batch_size-8 -S train.batch_size=8: ")
    assert "dvc.yaml' validation failed" in done.stderr


@pytest.mark.slow
def test_a_sweep_runs_whatever_path_holds(root: Path, only_git: Path) -> None:
    done = touchstone("sweep", "mine", root=root, path=only_git)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lenet-real,0.5" in (root / "recipes/mine/experiments.csv").read_text()


@pytest.mark.parametrize("command", ["study", "sweep"])
def test_without_git_there_is_one_line(root: Path, tmp_path: Path, command: str) -> None:
    done = touchstone(command, "mine", root=root, path=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: git: no such command on PATH; install git")
    assert done.stderr.count("\n") == 1


def test_few_modules_start_processes() -> None:
    """Whatever else calls DVC or git does so through studies/commands.py; the engine starts its own workers.

    Each worker starts a process that stages are forked from, the engine `slurm` asks Slurm by its commands, and a net
    on several devices has a process for each.
    """
    starting = []
    for file in sorted(ROOT.glob("src/**/*.py")) + sorted(ROOT.glob("stages/*.py")):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
        called = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        if "subprocess" in names or called & {"system", "popen", "execvp", "spawnvp", "create_subprocess_exec"}:
            starting.append(file.relative_to(ROOT).as_posix())
    engines = [f"src/touchstone/cluster/{name}.py" for name in ("local", "slurm", "warm")]
    assert starting == [*engines, "src/touchstone/studies/commands.py", "src/touchstone/training/shard.py"]


def test_repro_says_how_a_parameter_is_changed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["repro", "-S", "train.patience=3"])
    assert capsys.readouterr().err == (
        "error: -S train.patience=3: repro runs params.yaml as it is; change it there, or try the change with `dvc exp "
        "run -S train.patience=3` (`-S +train.patience=3` for a key that params.yaml leaves to its default)\n"
    )


def test_only_processes_with_these_words_are_ended(tmp_path: Path) -> None:
    waits = [sys.executable, "-c", "import time; time.sleep(600)"]
    mine, left = (subprocess.Popen([*waits, *more], cwd=tmp_path) for more in ((), ("/bin/dvc", "exp", "run")))
    try:
        end_all_in(tmp_path, words=("dvc", "exp"))
        assert left.wait(60) == -signal.SIGKILL
        assert mine.poll() is None
        end_all_in(tmp_path)
        assert mine.wait(60) == -signal.SIGKILL
    finally:
        mine.kill()
        left.kill()

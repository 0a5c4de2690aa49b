"""Outputs that are of another study than params.yaml describes: what removes them, and what says so."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from kit.project import run
from touchstone.config import yaml
from touchstone.studies.stale import settings_are_current, stale_results, stale_stages

IN_GIT = {
    f"metrics/{name}" for name in ("audit.json", "metrics.json", "report.md", "audit_summary.json", "summary.json")
}


def change(folder: Path, *changes: str) -> None:
    file = folder / "params.yaml"
    file.write_text(yaml.changed(file.read_text(), list(changes)))


def test_an_arm_that_was_tried_leaves_nothing_for_the_next_run(tiny_space: Path) -> None:
    """git takes back params.yaml and dvc.lock, but not what the stages made in between."""
    lock = (tiny_space / "dvc.lock").read_bytes()
    change(tiny_space, "arms={real: {add: []}, fixed: {add: [tilt, ddpm]}, extra: {add: [tilt]}}")
    run("dvc", "repro", "settings", cwd=tiny_space)
    left = {f"data/{name}/simple-extra" for name in ("probs", "runs")}
    left |= {f"data/{name}/simple-extra.csv" for name in ("curves", "trials")}
    for path in left:  # as the stages would have made them
        source = tiny_space / path.replace("extra", "real")
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tiny_space / path)
    run("git", "restore", ".", cwd=tiny_space)
    said = run("touchstone", "verify", cwd=tiny_space, check=False).stdout
    assert {line.split()[1] for line in said.splitlines() if line.startswith("leftover")} == left
    assert "stale: metrics/report.md (output of report)" in said, "its stage would read them"
    said = run("dvc", "repro", "settings", cwd=tiny_space).stdout
    assert all(f"removed: {path}, which no stage makes" in said for path in left)
    assert not any((tiny_space / path).exists() for path in left)
    assert (tiny_space / "dvc.lock").read_bytes() == lock
    assert run("dvc", "status", cwd=tiny_space).stdout == "Data and pipelines are up to date.\n"
    assert run("touchstone", "verify", cwd=tiny_space).stdout.endswith("all as in dvc.lock\n")


def test_in_a_clone_with_other_settings_every_result_of_git_is_stale(tiny_space: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    run("git", "clone", "-q", tiny_space, clone, cwd=tmp_path)
    assert stale_results(clone) == {}, "though no data are there"
    change(clone, "data.split_seed=1")
    assert set(stale_results(clone)) == IN_GIT
    assert not list((clone / "data").glob("settings")), "what the stage would write went elsewhere"


def test_only_what_a_change_reaches_is_stale(tiny_space: Path) -> None:
    file = tiny_space / "src/touchstone/seeds.py"
    file.write_text(file.read_text() + "\n# one more comment\n")
    assert "settings" in run("dvc", "status", cwd=tiny_space).stdout
    assert stale_results(tiny_space) == {}
    assert settings_are_current(tiny_space)
    change(tiny_space, "report.worst=5")
    assert not settings_are_current(tiny_space)
    assert set(stale_stages(tiny_space)) == {"verdict", "report"}
    change(tiny_space, "compare.num_resamples=300")
    assert set(stale_stages(tiny_space)) == {"ensemble", "evaluate", "verdict", "report"}


def test_predict_warns_where_the_scores_are_of_other_settings(tiny_space: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "a.png")
    command = ("touchstone", "predict", tmp_path, "-o", tmp_path / "out.csv")
    assert "warning" not in run(*command, cwd=tiny_space).stderr
    change(tiny_space, "report.worst=5")
    assert "warning" not in run(*command, cwd=tiny_space).stderr, "the report changes, and no score"
    change(tiny_space, "compare.num_resamples=300")
    [warning] = [line for line in run(*command, cwd=tiny_space).stderr.splitlines() if line.startswith("warning")]
    assert "the scores in metrics/metrics.json, which choose " in warning
    assert "warning" not in run(*command, "--model", "lenet-real", cwd=tiny_space).stderr
    (tiny_space / "dvc.lock").unlink()
    assert "warning" not in run(*command, cwd=tiny_space).stderr, "nothing says so"
    (tiny_space / "metrics/metrics.json").write_text('{"c3-real": {"accuracy": 0.5}}')
    done = run(*command, cwd=tiny_space, check=False)
    assert done.returncode == 1
    assert "error: metrics/metrics.json: has scores of c3-real, but of no run in params.yaml" in done.stderr

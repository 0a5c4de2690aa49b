"""Stages that are killed and run again, and runs that are forced: the same bytes."""

import os
import re
import signal
from pathlib import Path

import pytest

from kit.pipeline import stages_run, start, wait_for
from kit.project import run


def test_killed_in_training_and_run_again_gives_the_same_lock(tiny_space: Path) -> None:
    lock = (tiny_space / "dvc.lock").read_bytes()
    text = (tiny_space / "params.yaml").read_text()
    (tiny_space / "params.yaml").write_text(text.replace("save_seconds: 20", "save_seconds: 0"))
    command = ["dvc", "repro", "--force", "--single-item", "train@lenet-fixed"]
    process = start(tiny_space, *command)
    state = wait_for(tiny_space / ".touchstone/train/lenet-fixed", "*/seed-1/state.pt", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert state.exists()
    (tiny_space / ".dvc/tmp/rwlock").unlink(missing_ok=True)
    again = run(*command, cwd=tiny_space)  # forced again, for DVC would restore what it has cached
    assert re.search(r"lenet-fixed seed 1: resumed at step [1-9]\d* of 20", again.stdout), again.stdout
    assert "lenet-fixed seed 0: trained before" in again.stdout
    assert (tiny_space / "dvc.lock").read_bytes() == lock


@pytest.mark.parametrize(
    ("stage", "pattern", "said"),
    [
        ("fit@ddpm", "*/*/state.pt", r"ddpm: resumed at step [1-9]\d* of 30"),
        pytest.param("synthesize@ddpm", "*/*/*.npy", "sampled", marks=pytest.mark.slow),
    ],
)
def test_killed_in_a_generator_and_run_again_gives_the_same_lock(
    tiny_space: Path, stage: str, pattern: str, said: str
) -> None:
    lock = (tiny_space / "dvc.lock").read_bytes()
    text = (tiny_space / "params.yaml").read_text()
    (tiny_space / "params.yaml").write_text(text.replace("save_seconds: 20", "save_seconds: 0"))
    command = ["dvc", "repro", "--force", "--single-item", stage]
    process = start(tiny_space, *command)
    left = wait_for(tiny_space / ".touchstone" / stage.replace("@", "/"), pattern, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert left.exists()
    (tiny_space / ".dvc/tmp/rwlock").unlink(missing_ok=True)
    again = run(*command, cwd=tiny_space)
    assert re.search(said, again.stdout), again.stdout
    assert (tiny_space / "dvc.lock").read_bytes() == lock


@pytest.mark.slow
def test_forced_it_gives_the_same_lock_with_0_and_2_loader_workers(tiny_space: Path) -> None:
    lock = (tiny_space / "dvc.lock").read_bytes()
    text = (tiny_space / "params.yaml").read_text()
    for workers in ("0", "2"):
        (tiny_space / "params.yaml").write_text(text.replace("num_workers: 0", f"num_workers: {workers}"))
        ran = stages_run(run("dvc", "repro", "--force", cwd=tiny_space).stdout)
        assert "train@simple-fixed" in ran
        assert (tiny_space / "dvc.lock").read_bytes() == lock

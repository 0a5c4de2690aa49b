"""The tiny pipeline on a GPU: it runs to its end, and gives the same bytes on the same card.

`make test-gpu` runs these tests where there is a card with CUDA; elsewhere they are skipped.
"""

import os
import re
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kit.pipeline import TINY, assert_same, start, wait_for
from kit.project import project, run

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
if not torch.cuda.is_available():
    pytest.skip("no GPU: torch.cuda.is_available() is False", allow_module_level=True)

GPU = "machine={accelerator: gpu, num_workers: 0, save_seconds: 0}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline, both generators and both engines included, run once."""
    folder = project(tmp_path_factory.mktemp("gpu") / "project", *TINY, GPU)
    run("touchstone", "repro", cwd=folder)
    return folder


def forced(folder: Path, *changes: str, stage: str) -> dict[str, torch.Tensor]:
    """The weights of seed 0 after a stage that is run again with other settings."""
    other = project(folder.parent / f"other-{len(list(folder.parent.iterdir()))}", *TINY, GPU, *changes)
    run("touchstone", "repro", stage, cwd=other)
    run_name = stage.partition("@")[2]
    return load_file(other / "data/runs" / run_name / "seed-0.safetensors")


def test_it_ran_on_the_card(whole: Path) -> None:
    notes = [file.read_text() for file in (whole / "metrics/runtime").glob("*.json")]
    assert any(torch.cuda.get_device_name() in note for note in notes)


def test_it_gives_the_same_bytes_again(whole: Path, tmp_path: Path) -> None:
    again = project(tmp_path / "again", *TINY, GPU)
    run("touchstone", "repro", cwd=again)
    assert_same(again, whole)


def test_both_engines_give_the_same_weights(whole: Path) -> None:
    weights = {
        engine: forced(whole, f"models.simple.engine={engine}", stage="train@simple-real")
        for engine in ("lightning", "torch")
    }
    assert all(torch.equal(weights["torch"][name], value) for name, value in weights["lightning"].items())


def test_batches_made_on_the_card_are_the_same(whole: Path) -> None:
    there = GPU.replace("save_seconds: 0", "save_seconds: 0, resident: true")
    changes, stage = "models.simple.jitter_contrast=0.3", "train@simple-real"
    weights = [forced(whole, changes, machine, stage=stage) for machine in (GPU, there)]
    assert all(torch.equal(weights[1][name], value) for name, value in weights[0].items())


def test_a_compiled_net_trains(whole: Path) -> None:
    weights = forced(whole, "+models.simple.compile=true", stage="train@simple-real")
    assert all(value.isfinite().all() for value in weights.values())


def test_bf16_trains(whole: Path) -> None:
    weights = forced(whole, "models.simple.precision=bf16", stage="train@simple-real")
    assert all(value.isfinite().all() for value in weights.values())


@pytest.mark.parametrize(
    ("stage", "pattern", "said"),
    [
        ("train@lenet-fixed", "*/seed-1/state.pt", r"seed 1: resumed at step [1-9]\d* of 20"),
        ("fit@ddpm", "*/*/state.pt", r"ddpm: resumed at step [1-9]\d* of 30"),
        ("fit@gan", "*/*/state.pt", r"gan: resumed at step [1-9]\d* of 12"),
    ],
)
def test_killed_and_run_again_gives_the_same_lock(whole: Path, stage: str, pattern: str, said: str) -> None:
    lock = (whole / "dvc.lock").read_bytes()
    command = ["dvc", "repro", "--force", "--single-item", stage]
    process = start(whole, *command)
    wait_for(whole / ".touchstone" / stage.replace("@", "/"), pattern, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (whole / ".dvc/tmp/rwlock").unlink(missing_ok=True)
    again = run(*command, cwd=whole)
    assert re.search(said, again.stdout), again.stdout
    assert (whole / "dvc.lock").read_bytes() == lock

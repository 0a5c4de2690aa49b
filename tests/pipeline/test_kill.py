"""SIGKILL at random moments of training, then `dvc repro`: the bytes of a run that was never killed."""

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from kit.project import ENVIRONMENT, project, run

KILLS = 10
COMMON = "input_size: 16, num_steps: 1500, batch_size: 16, eval_steps: 25, num_threads: 1"
TECHNIQUES = {
    "swa": "engine: lightning, select: last, swa_share: 0.5, swa_lr: 0.002, swa_anneal_epochs: 3.0, net: lenet_bn",
    "ema": "engine: torch, ema_decay: 0.98, optimizer: nadam",
    "phases": (
        "engine: torch, net: lenet_bn, weights: random, phases: ["
        "{num_steps: 750, trainable: [head], schedule: cosine}, {num_steps: 750, optimizer: sgd, lr: 0.01}]"
    ),
    "accumulation": "engine: lightning, accumulate: {0: 1, 4: 3, 9: 5}, clip_norm: 0.5, optimizer: nesterov, lr: 0.01",
    "policy": "engine: torch, policy: randaugment, erase: 0.3, sampler: weighted, loss: focal",
    "layer decay": "engine: torch, net: lenet_bn, layer_decay: 0.7, optimizer: adamw, ema_decay: 0.9",
    "plateau": "engine: torch, schedule: plateau, plateau_patience: 0, decay: 0.5, warmup_epochs: 3.0, crop_padding: 2",
}


def settings(technique: str) -> tuple[str, ...]:
    text = f"{TECHNIQUES[technique]}, {COMMON}"
    if technique == "phases":
        text = text.replace("num_steps: 1500, ", "")
    if "net:" not in text:
        text += ", net: lenet"
    if "schedule:" not in text:
        text += ", schedule: one_cycle"
    return (
        "data.train_size=120",
        "transforms={repeat: {}}",
        "generators={}",
        "arms={real: {add: []}}",
        f"models={{tried: {{{text}}}}}",
        "explain.runs=[]",
        "ensembles={}",
        "train.schedule=constant",
        "train.replicates=1",
        "machine.save_seconds=0",
    )


@pytest.mark.slow
@pytest.mark.parametrize("technique", TECHNIQUES)
def test_ten_kills_change_no_byte(tmp_path: Path, technique: str) -> None:
    space = project(tmp_path / "space", *settings(technique))
    command = ["dvc", "repro", "train@tried-real"]
    run(*command, cwd=space)
    lock, weights = space / "dvc.lock", space / "data/runs/tried-real/seed-0.safetensors"
    whole = lock.read_bytes(), weights.read_bytes()
    rng, steps = random.Random(technique), []
    command = ["dvc", "repro", "--force", "--single-item", "train@tried-real"]
    while len(steps) < KILLS:
        steps.append(kill(command, space, seconds=rng.uniform(0.0, 0.25)))
    done = run(*command, cwd=space)
    resumed = int(re.search(r"tried-real seed 0: resumed at step (\d+) of 1500", done.stdout)[1])
    assert steps == sorted(steps), "every process goes on from where the last one was stopped"
    assert 0 < steps[-1] <= resumed < 1500
    assert (lock.read_bytes(), weights.read_bytes()) == whole


def kill(command: list[str], space: Path, *, seconds: float) -> int:
    """Start, wait for a new resume state, then so many seconds, SIGKILL all; the step that it had resumed at."""
    states = space / ".touchstone/train/tried-real"
    before = newest(states)
    process = subprocess.Popen(
        command, cwd=space, env=ENVIRONMENT, start_new_session=True, stdout=subprocess.PIPE, text=True
    )
    while newest(states) <= before:
        assert process.poll() is None, "it ended before it was killed: fewer steps are left than kills need"
        time.sleep(0.01)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    output, _ = process.communicate()
    (space / ".dvc/tmp/rwlock").unlink(missing_ok=True)
    found = re.search(r"resumed at step (\d+)", output)
    return int(found[1]) if found else 0


def newest(states: Path) -> float:
    """When the resume state was last written; 0 where there is none."""
    return max((file.stat().st_mtime for file in states.glob("*/seed-0/state.pt")), default=0.0)

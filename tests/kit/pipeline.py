"""The tiny pipeline, run once for all tests that need its outputs, and what they ask of DVC."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from filelock import FileLock

from kit.project import ENVIRONMENT, project, run

TINY = (
    "data.train_size=40",
    "data.test_fraction=0.5",
    "data.val_fraction=0.25",
    "train.num_steps=20",
    "train.eval_steps=10",
    "train.replicates=2",
    "train.num_threads=1",
    "transforms={repeat: {}, tilt: {rotate_deg: 10}}",
    "generators={gan: {kind: dcgan,"
    " fit: {num_steps: 12, channels: 4, min_diversity: 0, max_diversity: 99, num_threads: 1},"
    " sample: {per_class: 4, block: 2, filter: {min_confidence: 0.02}}},"
    " ddpm: {fit: {num_steps: 30, channels: 8, multipliers: [1, 2],"
    " num_res_blocks: 1, min_diversity: 0, max_diversity: 99, num_threads: 1},"
    " sample: {per_class: 4, block: 2, num_inference_steps: 10}}}",
    "arms={real: {add: []}, fixed: {add: [tilt, ddpm]}}",
    "models={lenet: {input_size: 16, lr: auto}, simple: {input_size: 16, lr: 0.002, engine: torch}}",
    "explain={images: 1, runs: [lenet-real], methods: [saliency, integrated_gradients], steps: 8, randomised: 1}",
    "ensembles={vote: {rule: majority, members: [lenet-real, simple-real, simple-fixed], prefer: lenet-real}}",
    "compare.num_resamples=200",
    "audit.num_draws=2",
    "audit.encoder={net: lenet, input_size: 16, engine: torch}",
    "report.worst=4",
)


def tiny_run(factory: pytest.TempPathFactory) -> Path:
    """A copy of the tiny pipeline after `dvc repro`, committed. It is run once, by whichever worker comes first."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    whole = base / "tiny"
    with FileLock(base / "tiny.lock"):
        if not (base / "tiny.done").exists():
            shutil.rmtree(whole, ignore_errors=True)
            project(whole, *TINY)
            run("dvc", "repro", cwd=whole)
            commit(whole)
            (base / "tiny.done").touch()
    return Path(shutil.copytree(whole, factory.mktemp("tiny") / "project", symlinks=True))


def reset(folder: Path) -> None:
    """Go back to what was committed."""
    run("git", "reset", "-q", "--hard", cwd=folder)
    run("git", "clean", "-q", "-fd", "src", "recipes", cwd=folder)
    run("dvc", "checkout", cwd=folder)


def commit(folder: Path) -> None:
    run("git", "add", "-A", cwd=folder)
    run("git", "commit", "-q", "-m", "ran", cwd=folder)


def stages_run(output: str) -> set[str]:
    """The stages that `dvc repro` says it runs."""
    return set(re.findall(r"^Running stage '([^']+)'", output, re.M))


def assert_same(folder: Path, other: Path) -> None:
    """Both have the same dvc.lock and the same metrics, byte by byte, and the first is up to date."""
    names = ["dvc.lock", *(f"metrics/{name}.json" for name in ("metrics", "summary", "audit", "audit_summary"))]
    for name in (*names, "metrics/report.md"):
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    assert run("dvc", "status", cwd=folder).stdout == "Data and pipelines are up to date.\n"


def would_run(folder: Path) -> set[str]:
    """The stages whose own dependencies or outputs differ from dvc.lock now, once the settings are written again."""
    run("dvc", "repro", "settings", cwd=folder)
    return set(json.loads(run("dvc", "status", "--json", cwd=folder).stdout))


def wait_for(folder: Path, pattern: str, process: "subprocess.Popen[bytes]") -> Path:
    """The first file that matches, as soon as a running process has written one."""
    while process.poll() is None:
        files = sorted(folder.glob(pattern)) if folder.exists() else []
        if files:
            return files[0]
        time.sleep(0.01)
    raise AssertionError(f"{folder}/{pattern} did not appear before the process ended")


def start(folder: Path, *command: str) -> "subprocess.Popen[bytes]":
    """A command in a process group of its own, to be killed with all its children."""
    return subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, start_new_session=True, stdout=subprocess.DEVNULL)

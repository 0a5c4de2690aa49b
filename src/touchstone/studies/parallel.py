"""Train stages side by side: several `dvc repro -s` at once, one GPU each where there are GPUs."""

import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import Queue
from threading import Lock

from touchstone.errors import TouchstoneError
from touchstone.training.store import KEEP

BUSY = ("is busy", "Unable to acquire lock")  # DVC gives up on its lock after 3 s
RETRY_SECONDS = 1.0

_printing = Lock()  # print writes the text and the line's end apart: two runs' lines would mingle


def train_runs(runs: list[str], *, jobs: int, gpus: list[str]) -> None:
    """Bring what training needs up to date, then run `train@<run>` of all runs, `jobs` at a time, a GPU each in turn.

    Runs that are up to date are skipped by DVC. Raises TouchstoneError naming the runs that failed, after the others
    have ended.
    """
    if subprocess.run(["dvc", "repro", "augment", "nets", "pretrained", "find_lr"]).returncode:
        raise TouchstoneError("a stage before training failed, see above")
    slots: Queue[int] = Queue()
    for slot in range(jobs):
        slots.put(slot)
    with ThreadPoolExecutor(jobs) as pool:
        codes = list(pool.map(lambda run: _train_one(run, slots, gpus), runs))
    failed = [run for run, code in zip(runs, codes, strict=True) if code]
    if failed:
        raise TouchstoneError(f"failed: {', '.join(failed)}; see above, then run the same command again")


def _train_one(run: str, slots: "Queue[int]", gpus: list[str]) -> int:
    with _slot(slots) as slot:
        environment = os.environ | {KEEP: "1"}  # DVC may fail to take its lock after hours of training: not again
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
        while True:
            code, busy = _repro(run, environment)
            if not (code and busy):
                return code
            time.sleep(RETRY_SECONDS)


def _repro(run: str, environment: dict[str, str]) -> tuple[int, bool]:
    """Run one train stage, its lines as they come, each with the run's name; (exit code, whether DVC was busy)."""
    command = ["dvc", "repro", "-s", f"train@{run}"]
    busy = False
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            busy = busy or any(text in line for text in BUSY)
            if line.strip():
                with _printing:
                    print(f"{run}: {line.rstrip()}", flush=True)
    return process.returncode, busy


@contextmanager
def _slot(slots: "Queue[int]") -> Iterator[int]:
    slot = slots.get()
    try:
        yield slot
    finally:
        slots.put(slot)


def visible_gpus() -> list[str]:
    """The CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return named.split(",") if named else [str(i) for i in range(torch.cuda.device_count())]

"""Train stages side by side: several `dvc repro -s` at once, one GPU each where there are GPUs."""

import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import Queue

from touchstone.errors import TouchstoneError

BUSY = ("is busy", "Unable to acquire lock")  # DVC gives up on its lock after 3 s
RETRY_SECONDS = 1.0


def train_runs(runs: list[str], *, jobs: int, num_gpus: int) -> None:
    """Bring what training needs up to date, then run `train@<run>` of all runs, `jobs` at a time.

    Runs that are up to date are skipped by DVC. Raises TouchstoneError naming the runs that failed, after the others
    have ended.
    """
    if subprocess.run(["dvc", "repro", "augment", "nets"]).returncode:
        raise TouchstoneError("a stage before training failed, see above")
    slots: Queue[int] = Queue()
    for slot in range(jobs):
        slots.put(slot)
    with ThreadPoolExecutor(jobs) as pool:
        codes = list(pool.map(lambda run: _train_one(run, slots, num_gpus), runs))
    failed = [run for run, code in zip(runs, codes, strict=True) if code]
    if failed:
        raise TouchstoneError(f"failed: {', '.join(failed)}; see above, then run the same command again")


def _train_one(run: str, slots: "Queue[int]", num_gpus: int) -> int:
    with _slot(slots) as slot:
        environment = os.environ.copy()
        if num_gpus:
            environment["CUDA_VISIBLE_DEVICES"] = str(slot % num_gpus)
        while True:
            done = subprocess.run(
                ["dvc", "repro", "-s", f"train@{run}"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if not (done.returncode and any(text in done.stdout for text in BUSY)):
                print(*(f"{run}: {line}" for line in done.stdout.splitlines()), sep="\n", flush=True)
                return done.returncode
            time.sleep(RETRY_SECONDS)


@contextmanager
def _slot(slots: "Queue[int]") -> Iterator[int]:
    slot = slots.get()
    try:
        yield slot
    finally:
        slots.put(slot)


def count_gpus() -> int:
    """CUDA devices that torch sees."""
    import torch

    return torch.cuda.device_count()

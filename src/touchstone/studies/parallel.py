"""Run train stages side by side: several `dvc repro -s` at once, on a GPU each where there are GPUs."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from threading import Lock

from touchstone.errors import TouchstoneError
from touchstone.studies.commands import dvc, start_dvc
from touchstone.training.resume import KEEP

NEEDED = ("augment", "pretrained", "find_lr")  # with the stages before them, they make whatever training reads
BUSY = ("is busy", "Unable to acquire lock")  # what DVC prints when it gives up on its lock, after 3 s
RETRY_SECONDS = 1.0

_printing = Lock()  # print writes a text and its newline separately: lines of two runs would mix


def train_runs(runs: list[str], *, jobs: int, gpus: list[str]) -> None:
    """Bring up to date what training needs, then run `train@<run>` for all runs, `jobs` at a time.

    gpus: the CUDA devices, shared out among the jobs; none for CPU. DVC skips runs that are up to date.

    Raise TouchstoneError where an earlier stage fails; or, after all others have ended, with the runs that failed.
    """
    if not dvc(Path(), "repro", *NEEDED):
        raise TouchstoneError("a stage before training failed, see above; fix the cause and run the same command again")
    slots: Queue[int] = Queue()
    for slot in range(jobs):
        slots.put(slot)

    def train(run: str) -> int:
        slot = slots.get()
        try:
            return _train_one(run, gpus[slot % len(gpus)] if gpus else None)
        finally:
            slots.put(slot)

    with ThreadPoolExecutor(jobs) as pool:
        codes = list(pool.map(train, runs))
    failed = [run for run, code in zip(runs, codes, strict=True) if code]
    if failed:
        raise TouchstoneError(f"failed: {', '.join(failed)}; see above, then run the same command again")


def _train_one(run: str, gpu: str | None) -> int:
    """Run one train stage, again while DVC is busy, and return its exit code. Each line it prints starts with `run`."""
    variables = {KEEP: "1"}  # if DVC fails to lock after hours of training, the next try does not train again
    if gpu is not None:
        variables["CUDA_VISIBLE_DEVICES"] = gpu
    while True:
        busy = False
        with start_dvc(Path(), "repro", "-s", f"train@{run}", **variables) as process:
            assert process.stdout is not None
            for line in process.stdout:
                busy = busy or any(text in line for text in BUSY)
                if line.strip():
                    with _printing:
                        print(f"{run}: {line.rstrip()}", flush=True)
        if not (process.returncode and busy):
            return process.returncode
        time.sleep(RETRY_SECONDS)


def visible_gpus() -> list[str]:
    """The CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return named.split(",") if named else [str(i) for i in range(torch.cuda.device_count())]

"""A stage's job on any machine that sees the project's folder, shared by the engines `slurm` and `ray`.

The head takes a snapshot of the project's files. Each job copies it into a private clone, runs one stage there by a
worker as the engine `local` does, and removes it. Results meet in DVC's cache and its run-cache; the stage's log and
the last line that it printed go to files of the project.
"""

import hashlib
import os
import selectors
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from touchstone.cluster.copies import copy_project, project_files
from touchstone.cluster.engine import Job, Outcome
from touchstone.cluster.local import Worker
from touchstone.studies.commands import search_path
from touchstone.training.resume import KEEP

NOTE_SECONDS = 2.0  # between two notes of what a stage printed last
RESULTS = ("dvc.lock", "metrics/")  # they change as stages end, and jobs get what they need of them otherwise


@dataclass(frozen=True)
class Task:
    """A job as it travels to another machine. All paths are absolute, and the same there.

    snapshot: the project's files. clones: the folder for the job's clone. note: the file for the last line printed.
    """

    job: Job
    snapshot: Path
    clones: Path
    note: Path


def take_snapshot(root: Path, folder: Path, *, cache: Path) -> Path:
    """Copy the project's files as they are now into a folder named by their content, unless that is there."""
    names = [name for name in project_files(root) if not name.startswith(RESULTS)]
    total = hashlib.sha256()
    for name in sorted(names):
        with open(root / name, "rb") as file:
            total.update(os.fsencode(f"{name}\n") + hashlib.file_digest(file, "sha256").digest())
    snapshot = folder / total.hexdigest()[:16]
    if not snapshot.is_dir():
        new = folder / "new"
        copy_project(root, new, names=names, cache=cache)
        new.replace(snapshot)
    return snapshot


def run_task(task: Task) -> Outcome:
    """Run a stage in a clone of its own. Raises OSError where the clone cannot be made."""
    clone = new_folder(task.clones, task.job.stage)
    shutil.copytree(task.snapshot, clone, symlinks=True)
    worker = Worker(clone, {KEEP: "1", "PATH": search_path()})
    try:
        worker.begin(task.job)
        task.note.parent.mkdir(parents=True, exist_ok=True)
        return followed(worker, partial(task.note.write_text, encoding="utf-8"))
    finally:
        worker.close()
        shutil.rmtree(clone, ignore_errors=True)
        task.note.unlink(missing_ok=True)


def new_folder(clones: Path, stage: str) -> Path:
    """Return a path for a clone. Those that killed jobs have left on this machine are removed."""
    here = f"-{socket.gethostname()}-"
    for old in clones.glob(f"*{here}*"):
        if not psutil.pid_exists(int(old.name.rpartition(here)[2])):
            shutil.rmtree(old, ignore_errors=True)
    clone = clones / f"{stage}{here}{os.getpid()}"
    shutil.rmtree(clone, ignore_errors=True)
    return clone


def followed(worker: Worker, note: Callable[[str], object]) -> Outcome:
    """Wait until the stage ends, and note the last line that it has printed every few seconds."""
    noted, last = 0.0, ""
    with selectors.DefaultSelector() as selector:
        selector.register(worker.screen, selectors.EVENT_READ)
        selector.register(worker.answers, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select(NOTE_SECONDS):
                if key.fileobj is worker.answers:
                    return worker.end()
                if not worker.read_screen():
                    time.sleep(0.05)  # its end is closed, and the answer follows
            if worker.last_line != last and time.monotonic() > noted + NOTE_SECONDS:
                noted, last = time.monotonic(), worker.last_line
                note(last)


class Notes:
    """The last lines that running stages printed, read every NOTE_SECONDS at most: the folder is on another machine."""

    def __init__(self) -> None:
        self._read, self._lines = 0.0, dict[str, str]()

    def lines(self, notes: dict[str, Path]) -> dict[str, str]:
        """The last line of each of these stages, "" before it has printed one. notes: their files."""
        if time.monotonic() > self._read + NOTE_SECONDS:
            self._lines = {stage: _content(note) for stage, note in notes.items()}
            self._read = time.monotonic()
        return {stage: self._lines.get(stage, "") for stage in notes}


def _content(note: Path) -> str:
    with suppress(OSError):
        return note.read_text(encoding="utf-8", errors="replace")
    return ""

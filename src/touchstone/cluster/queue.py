"""An engine that runs each stage as a job of a scheduler, as an array where several are ready at once.

A ledger says which job runs which stage on which inputs, so jobs outlive the command: the next one takes them up. What
has become of a job is told by its result, a file in the shared folder, and by the scheduler's queue.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dvc.repo import Repo
from dvc.stage import Stage
from tqdm import tqdm

from touchstone.cluster.clone import Notes, Task, take_snapshot
from touchstone.cluster.engine import Job, Outcome
from touchstone.cluster.parts import parted
from touchstone.config.schema.cluster import Cluster, Resources

ARRAY = 1000  # jobs; Slurm's default limit, MaxArraySize, is 1001
LOOK_SECONDS = 0.01  # for each job, between two looks at results
ASK_SECONDS = 5.0  # between two looks at the queue
GRACE_SECONDS = 20.0  # in which the result of a job that has ended may appear on this machine
FINAL = {"CANCELLED": "it was cancelled", "OUT_OF_MEMORY": "it ran out of memory; raise cluster.memory_gb"}
PASSING = {"", "None", "Resources", "Priority", "BeginTime", "Cleaning", "JobArrayTaskLimit"}  # reasons to wait


@dataclass(frozen=True)
class State:
    """A job as the queue shows it: its state in Slurm's words, where it runs, and why it waits."""

    state: str
    is_active: bool = False
    node: str = ""
    reason: str = ""


class Scheduler(Protocol):
    """A scheduler, as the engine needs it."""

    def submit(self, tasks: Sequence[Task], resources: Resources) -> list[str]:
        """Submit the tasks together and return the id of each one's job."""

    def states(self) -> dict[str, State] | None:
        """The jobs of this project that the scheduler knows, by id; None where it does not answer now."""

    def outcomes(self, job_ids: Collection[str]) -> dict[str, Outcome]:
        """The results that jobs have left. Its stage is "" where a job failed outside of the stage."""

    def log(self, job_id: str) -> str:
        """Return the output of a job that failed outside of its stage."""

    def cancel(self, job_id: str) -> None:
        """End a job."""


@dataclass
class Queued:
    """A job of the engine. key: see `job_key`. tries: its jobs that were lost. gone: when it was first not seen."""

    job: Job
    key: str
    tries: int = 0
    job_id: str = ""
    gone: float = 0.0


class QueueEngine:
    """Runs jobs by a scheduler. folder: the ledger, snapshots, clones and notes of this project."""

    def __init__(self, repo: Repo, folder: Path, scheduler: Scheduler, *, cluster: Cluster, slots: int) -> None:
        self.slots, self._cluster, self._scheduler, self._folder = slots, cluster, scheduler, folder
        self._root, cache = Path(repo.root_dir), Path(repo.cache.legacy.path)
        self._snapshot = take_snapshot(self._root, folder / "snapshots", cache=cache)  # one, whatever is edited later
        self._stages = {stage.addressing: stage for stage in repo.index.stages}
        folder.mkdir(parents=True, exist_ok=True)
        self._ledger = Ledger(folder / "jobs.json")
        states = scheduler.states()
        self._states = states or {}
        if states is not None:
            self._cancel_removed()
        self._waiting: list[Queued] = []  # for `wait`, to be submitted together
        self._running: dict[str, Queued] = {}
        self._asked = self._answered = self._looked = time.monotonic()
        self._ended: set[str] = set()
        self._notes = Notes()
        self._said: set[str] = set()

    def submit(self, job: Job) -> None:
        """Take up the job that runs this stage on these inputs, or hold this one for `wait`, which submits it."""
        queued = Queued(job, job_key(job, self._stages[parted(job.stage)[0]], self._root, self._snapshot))
        known = self._ledger.get(job.stage)
        if known and known["key"] == queued.key and (self._is_active(known["id"]) or self._has_result(known["id"])):
            queued.job_id = known["id"]
            self._running[job.stage] = queued
            return
        if known and self._is_active(known["id"]):  # on other inputs
            self._scheduler.cancel(known["id"])
        self._waiting.append(queued)

    def _cancel_removed(self) -> None:
        """Cancel the jobs of stages that are in the graph no more."""
        for stage in self._ledger.stages():
            known = self._ledger.get(stage)
            if known and parted(stage)[0] not in self._stages:
                if self._is_active(known["id"]):
                    self._scheduler.cancel(known["id"])
                self._ledger.remove(stage)

    def _has_result(self, job_id: str) -> bool:
        return bool(self._scheduler.outcomes([job_id]))

    def _is_active(self, job_id: str) -> bool:
        return job_id in self._states and self._states[job_id].is_active

    def wait(self, seconds: float) -> list[Outcome]:
        with _uninterrupted():
            self._submit_waiting()
        time.sleep(seconds)
        if time.monotonic() < self._looked + LOOK_SECONDS * len(self._running):
            return []
        self._ask()
        outcomes = self._scheduler.outcomes([queued.job_id for queued in self._running.values()])
        self._looked = time.monotonic()
        ended = [self._end(queued, outcomes.get(queued.job_id)) for queued in list(self._running.values())]
        found = [outcome for outcome in ended if outcome is not None]
        for outcome in found:
            self._ended.add(self._running.pop(outcome.stage).job_id)
            if outcome.error:  # the result of any other waits for `close`: should this command be killed, it is there
                self._ledger.remove(outcome.stage)
        return found

    def _ask(self) -> None:
        """Look at the queue, if the last look is a while ago. One that does not answer now has lost no job."""
        if time.monotonic() > self._asked + ASK_SECONDS:
            states = self._scheduler.states()
            self._asked = time.monotonic()
            if states is not None:
                self._states, self._answered = states, self._asked

    def _submit_waiting(self) -> None:
        if not self._waiting:
            return
        groups: dict[Resources, list[Queued]] = {}
        for queued in self._waiting:
            groups.setdefault(self._cluster.of(queued.job.stage), []).append(queued)
        self._waiting = []
        for resources, group in groups.items():
            for start in range(0, len(group), ARRAY):
                self._submit_array(group[start : start + ARRAY], resources)

    def _submit_array(self, array: list[Queued], resources: Resources) -> None:
        clones = Path(self._cluster.scratch) if self._cluster.scratch else self._folder / "clones"
        tasks = [Task(queued.job, self._snapshot, clones, self._note(queued.job.stage)) for queued in array]
        numbers = self._scheduler.submit(tasks, resources)
        for queued, number in zip(array, numbers, strict=True):
            queued.job_id, queued.gone = number, time.monotonic()
            self._running[queued.job.stage] = queued
        self._ledger.add({queued.job.stage: (queued.key, queued.job_id) for queued in array})
        others = f" and {len(array) - 1} more" if len(array) > 1 else ""
        _say(f"job {numbers[0].partition('_')[0]}: {array[0].job.stage}{others}")

    def _note(self, stage: str) -> Path:
        return self._folder / "notes" / stage

    def _end(self, queued: Queued, outcome: Outcome | None) -> Outcome | None:
        """The end of a job, if it has come. One that was lost waits to be submitted again."""
        stage = queued.job.stage
        if outcome is not None:
            if outcome.stage != stage:  # it failed outside of the stage, whose log is missing or an earlier one
                queued.job.log.parent.mkdir(parents=True, exist_ok=True)
                queued.job.log.write_text(self._scheduler.log(queued.job_id), encoding="utf-8")
            return Outcome(stage, outcome.entry, outcome.error, outcome.seconds)
        if self._is_active(queued.job_id):
            queued.gone = 0.0
            self._say_why_it_waits(queued)
            return None
        queued.gone = queued.gone or time.monotonic()
        if self._answered < queued.gone + GRACE_SECONDS:
            return None
        state = self._states.get(queued.job_id, State("gone from the queue")).state
        if state in FINAL or queued.tries >= self._cluster.retries:
            return Outcome(stage, {}, f"its job {queued.job_id} left no result: {FINAL.get(state, state)}", 0.0)
        _say(f"{stage}: job {queued.job_id} left no result ({state}); it runs again")
        del self._running[stage]
        self._waiting.append(Queued(queued.job, queued.key, tries=queued.tries + 1))
        return None

    def _say_why_it_waits(self, queued: Queued) -> None:
        """Print a reason that may never pass, once."""
        state = self._states[queued.job_id]
        if state.state == "PENDING" and state.reason not in PASSING | self._said:
            self._said.add(state.reason)
            _say(f"job {queued.job_id} ({queued.job.stage}) waits: {state.reason}")

    def progress(self) -> dict[str, str]:
        """Return the last line of each running stage, then the queued stages, each with its job's id and state."""
        states = {stage: self._states.get(q.job_id, State("SUBMITTED")) for stage, q in self._running.items()}
        running = {stage: self._note(stage) for stage, state in states.items() if state.state == "RUNNING"}
        lines, texts = self._notes.lines(running), {}
        for stage in sorted(states, key=lambda name: (states[name].state != "RUNNING", name)):
            state = states[stage]
            parts = self._running[stage].job_id, state.state, state.node, lines.get(stage, state.reason)
            texts[stage] = " ".join(["job", *filter(None, parts)])
        return texts

    def close(self) -> None:
        """Leave the jobs that run; remove the folder where there are none."""
        if self._running:
            print(f"{len(self._running)} jobs go on; the same command takes them up again", flush=True)
        elif not any(self._is_active(number) for number in self._ledger.numbers() - self._ended):
            shutil.rmtree(self._folder, ignore_errors=True)


class Ledger:
    """A file that says which job runs a stage, and by which key. It is replaced at once, so a kill leaves it whole."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._entries: dict[str, dict[str, str]] = json.loads(file.read_text()) if file.is_file() else {}

    def get(self, stage: str) -> dict[str, str] | None:
        return self._entries.get(stage)

    def stages(self) -> set[str]:
        return set(self._entries)

    def numbers(self) -> set[str]:
        return {entry["id"] for entry in self._entries.values()}

    def add(self, jobs: dict[str, tuple[str, str]]) -> None:
        """Note the key and the number of the job of each stage."""
        self._write(self._entries | {stage: {"key": key, "id": number} for stage, (key, number) in jobs.items()})

    def remove(self, stage: str) -> None:
        self._write({name: entry for name, entry in self._entries.items() if name != stage})

    def _write(self, entries: dict[str, dict[str, str]]) -> None:
        self._entries = entries
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(entries, indent=1))
        new.replace(self._file)


def job_key(job: Job, stage: Stage, root: Path, snapshot: Path) -> str:
    """The hash of what a job's result depends on: its command, its inputs, and the files that no stage makes.

    snapshot: the copy of the project at `root` whose files the job runs.
    """
    made = [Path(out["path"]) for entry in job.inputs.values() for out in entry.get("outs", ())]
    total = hashlib.sha256(json.dumps([stage.cmd, job.inputs], sort_keys=True).encode())
    for dep in sorted(Path(os.path.relpath(dep.fs_path, root)) for dep in stage.deps):
        if any(dep.is_relative_to(out) or out.is_relative_to(dep) for out in made):
            continue
        place = (root if ".." in dep.parts else snapshot) / dep
        for path in sorted([place, *place.rglob("*")]):
            if path.is_file():
                name = os.fsencode(dep / path.relative_to(place))
                with open(path, "rb") as file:
                    total.update(name + b"\n" + hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C, so that no job is submitted without a note of it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _say(line: str) -> None:
    tqdm.write(line)
    sys.stdout.flush()

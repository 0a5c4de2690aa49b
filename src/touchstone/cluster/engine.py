"""The interface of engines, which run stages as jobs: `local` on this machine, `slurm` and `ray` on a cluster."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Job:
    """A stage whose inputs are all there.

    stage: its name in DVC, such as train@lenet-real, or that of the job of a seed (see parts.py).
    inputs: all stages that it depends on, also through others -> their entries in dvc.lock.
    before: the stage's own entry in dvc.lock from an earlier run, or {}. A stage whose inputs are what it says is not
        run again.
    log: the file that takes what the stage prints.
    """

    stage: str
    inputs: dict[str, Any]
    before: dict[str, Any]
    log: Path


@dataclass(frozen=True)
class Outcome:
    """The end of a job.

    entry: the stage's entry for dvc.lock; empty if it failed.
    error: one line that says why it failed, or "".
    seconds: from the job's start to its end.
    """

    stage: str
    entry: dict[str, Any]
    error: str
    seconds: float


class Engine(Protocol):
    """Runs jobs, `slots` of them at a time."""

    slots: int

    def submit(self, job: Job) -> None:
        """Start a job, or let the next `wait` start it with others. At most `slots` may be running."""

    def wait(self, seconds: float) -> list[Outcome]:
        """Return the jobs that ended, as soon as one has, or an empty list after `seconds`."""

    def progress(self) -> dict[str, str]:
        """Return the last line that each running stage printed."""

    def close(self) -> None:
        """End all jobs at once, or leave them to run where they outlive this process."""

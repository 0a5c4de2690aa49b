"""The engine `slurm`: jobs of Slurm, submitted by submitit, and told apart by `squeue`, which needs no accounting."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from touchstone.cluster.clone import Task, run_task
from touchstone.cluster.engine import Outcome
from touchstone.cluster.queue import ARRAY, State
from touchstone.config.schema.cluster import Cluster, Resources
from touchstone.errors import TouchstoneError

SIGNAL_SECONDS = 30  # before the time limit; Slurm may give notice a minute earlier
TALK_SECONDS = 90  # in which Slurm must answer
ACTIVE = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING"}
ACTIVE |= {"REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESIZING", "SPECIAL_EXIT", "STAGE_OUT"}
ERROR = re.compile(r"^[\w.]*Error: .*", re.MULTILINE)


class Checkpointed:
    """A task that submitit puts back into the queue as it is: its resume state lies in the project's folder."""

    def __call__(self, task: Task) -> Outcome:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # in the stage, too: SIGUSR2 says when to stop
        return run_task(task)

    def checkpoint(self, task: Task) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, task)


class Slurm:
    """Slurm by sbatch, squeue and scancel. folder: where submitit keeps its files; cluster: partition and account."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self._folder, self._cluster = folder / "jobs", cluster
        self.name = f"touchstone-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"

    def check(self, wanted: set[Resources]) -> None:
        """Raise TouchstoneError where Slurm cannot be reached or would refuse jobs with these resources."""
        if not shutil.which("sbatch"):
            raise TouchstoneError("--on slurm: there is no sbatch on PATH; run this on a machine that submits to Slurm")
        self._asked("squeue", "--me", "--noheader")
        for resources in sorted(wanted, key=repr):
            options = [f"--{name.replace('_', '-')}={value}" for name, value in self._options(resources).items()]
            self._asked("sbatch", "--test-only", *options, "--wrap=true", resources=resources)

    def _options(self, resources: Resources) -> dict[str, str | int]:
        options: dict[str, str | int] = {"time": resources.minutes, "cpus_per_task": resources.cpus}
        options |= {"gpus_per_node": resources.gpus} if resources.gpus else {}
        options |= {"mem": f"{resources.memory_gb * 1024:.0f}M"} if resources.memory_gb else {}
        return options | {n: v for n in ("partition", "account") if (v := getattr(self._cluster, n))}

    def _asked(self, *command: str, resources: Resources | None = None) -> str:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TALK_SECONDS)
        except subprocess.TimeoutExpired:
            raise TouchstoneError(f"--on slurm: {command[0]} does not answer in {TALK_SECONDS} seconds") from None
        if done.returncode:
            raise self._refused(command[0], done.stderr, resources)
        return done.stdout

    def _refused(self, command: str, text: str, resources: Resources | None) -> TouchstoneError:
        why = ([line.split("error: ")[-1] for line in text.splitlines() if line.strip()] or ["it fails"])[-1]
        if resources is None:
            return TouchstoneError(f"--on slurm: {command}: {why}; `sinfo` says whether Slurm can be reached from here")
        asked = ", ".join(f"{name}: {value}" for name, value in resources.model_dump().items() if value)
        where = f" in the partition {self._cluster.partition}" if self._cluster.partition else ""
        remedy = "change the section `cluster` of params.yaml"
        return TouchstoneError(f"--on slurm: Slurm refuses a job with {asked}{where}: {why}; {remedy}")

    def submit(self, tasks: Sequence[Task], resources: Resources) -> list[str]:
        import submitit

        executor = submitit.SlurmExecutor(self._folder, max_num_timeout=self._cluster.requeues)
        executor.update_parameters(
            **self._options(resources),
            job_name=self.name,
            array_parallelism=ARRAY,
            signal_delay_s=SIGNAL_SECONDS,
            additional_parameters={"requeue": True},
        )
        try:
            jobs: list[Any] = executor.map_array(Checkpointed(), tasks)
        except (submitit.core.utils.FailedSubmissionError, submitit.core.utils.FailedJobError) as error:
            raise self._refused("sbatch", str(error), resources) from error
        return [job.job_id for job in jobs]

    def states(self) -> dict[str, State] | None:
        form = "%i|%T|%N|%r"
        command = ["squeue", "--me", "--array", "--states=all", "--noheader", f"--name={self.name}", f"--format={form}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TALK_SECONDS, check=True)
        except subprocess.SubprocessError:  # the controller restarts, say: jobs run on without it
            return None
        found = (line.split("|", 3) for line in done.stdout.splitlines())
        return {job: State(state, state in ACTIVE, node, reason) for job, state, node, reason in found}

    def outcomes(self, job_ids: Collection[str]) -> dict[str, Outcome]:
        import submitit

        names = set(os.listdir(self._folder)) if self._folder.is_dir() else set()  # one request to a shared folder
        jobs: list[Any] = [submitit.SlurmJob(self._folder, number) for number in job_ids]
        return {job.job_id: self._outcome(job) for job in jobs if job.paths.result_pickle.name in names}

    def _outcome(self, job: Any) -> Outcome:
        error = job.exception()
        if error is None:
            outcome: Outcome = job.result()
            return outcome
        [*_, line] = ERROR.findall(str(error)) or [str(error).splitlines()[0]]
        return Outcome("", {}, f"its job {job.job_id} failed: {line}", 0.0)

    def log(self, job_id: str) -> str:
        import submitit

        file = submitit.SlurmJob(self._folder, job_id).paths.stderr
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""

    def cancel(self, job_id: str) -> None:
        with suppress(subprocess.TimeoutExpired):  # the job that takes its place waits for its turn
            subprocess.run(["scancel", job_id], capture_output=True, timeout=TALK_SECONDS)

"""The engine `ray`: each stage a task of Ray, on a cluster that runs already or on one started on this machine.

Ray runs a task again where its worker or node was lost. Its tasks end with the command that started them.
"""

import os
import shutil
import socket
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from touchstone.cluster.clone import Notes, Task, run_task, take_snapshot
from touchstone.cluster.engine import Job, Outcome
from touchstone.config.schema.cluster import Cluster, Resources
from touchstone.errors import TouchstoneError, one_line

GB = 2**30
CONNECT_SECONDS = 10.0
END_SECONDS = 10.0  # in which tasks that are interrupted end their stages


class RayEngine:
    """Runs jobs as tasks of Ray. folder: snapshots, clones and notes of this project.

    Raises TouchstoneError where the cluster cannot be reached, or no node has what a stage is to get.
    """

    def __init__(self, repo: Repo, folder: Path, *, cluster: Cluster, stages: Collection[str], slots: int) -> None:
        self._ray = _connected(cluster.address)
        self.slots, self._cluster, self._folder = slots, cluster, folder
        try:
            for stage in sorted(stages):
                self._check(stage, cluster.of(stage))
            root, cache = Path(repo.root_dir), Path(repo.cache.legacy.path)
            self._snapshot = take_snapshot(root, folder / "snapshots", cache=cache)
        except BaseException:
            self._ray.shutdown()
            raise
        self._task = self._ray.remote(run_task)
        self._notes = Notes()
        self._running: dict[Any, Task] = {}  # by Ray's reference to its outcome

    def _check(self, stage: str, resources: Resources) -> None:
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        asked = {"GPU": resources.gpus, "CPU": resources.cpus, "memory": resources.memory_gb * GB}
        if any(all(node.get(name, 0) >= number for name, number in asked.items()) for node in nodes):
            return
        most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in asked}
        raise TouchstoneError(
            f"--on ray: {stage} is to get {resources.gpus} GPUs, {resources.cpus} CPUs and {resources.memory_gb:g} GB "
            f"on one node; the most that a node has is {most['GPU']:g}, {most['CPU']:g} and {most['memory'] / GB:.1f} "
            "GB: change the section `cluster` of params.yaml"
        )

    def submit(self, job: Job) -> None:
        clones = Path(self._cluster.scratch) if self._cluster.scratch else self._folder / "clones"
        task = Task(job, self._snapshot, clones, self._folder / "notes" / job.stage)
        resources = self._cluster.of(job.stage)
        options = {"num_cpus": resources.cpus, "num_gpus": resources.gpus, "max_retries": self._cluster.retries}
        options |= {"memory": int(resources.memory_gb * GB)} if resources.memory_gb else {}
        self._running[self._task.options(name=job.stage, **options).remote(task)] = task

    def wait(self, seconds: float) -> list[Outcome]:
        ended, _ = self._ray.wait(list(self._running), timeout=seconds)
        return [self._outcome(reference, self._running.pop(reference)) for reference in ended]

    def _outcome(self, reference: Any, task: Task) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(reference)
            return outcome
        except self._ray.exceptions.RayError as error:
            why = one_line(error.cause if isinstance(error, self._ray.exceptions.RayTaskError) else error)
            return Outcome(task.job.stage, {}, f"its task left no result: {why}", 0.0)

    def progress(self) -> dict[str, str]:
        """Return the last line that each stage printed, "" for those that wait for a node."""
        lines = self._notes.lines({task.job.stage: task.note for task in self._running.values()})
        return dict(sorted(lines.items(), key=lambda item: (not item[1], item[0])))

    def close(self) -> None:
        """End all tasks, each with its stage."""
        for reference in self._running:
            with suppress(self._ray.exceptions.RayError):
                self._ray.cancel(reference)
        if self._running:
            self._ray.wait(list(self._running), num_returns=len(self._running), timeout=END_SECONDS)
        self._ray.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)


def _connected(address: str) -> Any:
    """The library, connected to the cluster at `address`; "" starts one on this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's own default to come; without, it warns
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    options |= {} if address else {"include_dashboard": False}
    check_address(address)
    try:
        ray.init(address=address or "local", **options)
    except Exception as error:  # Ray raises plain ones, too
        raise _unreachable(address, error) from error
    return ray


def check_address(address: str) -> None:
    """Raise TouchstoneError where nothing answers at an address with a port; Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        if port.isdigit():
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> TouchstoneError:
    where = f"no cluster at cluster.address {address!r}" if address else "no cluster could be started here"
    return TouchstoneError(f"--on ray: {where}: {one_line(error)}; `ray status` says what runs")

"""The engine `ray`: each stage a task of Ray, on a cluster that runs already or on one started on this machine.

Ray runs a task again where its worker or node was lost. Its tasks end with the command that started them.
"""

import hashlib
import os
import shutil
import socket
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from touchstone.cluster import transfer
from touchstone.cluster.clone import RESULTS, Notes, Task, run_task, take_snapshot
from touchstone.cluster.engine import Job, Outcome
from touchstone.cluster.remote import SentTask, options_of, packed_inputs, packed_project, run_sent
from touchstone.config.schema.cluster import Cluster, Resources
from touchstone.errors import TouchstoneError, one_line

GB = 2**30
CONNECT_SECONDS = 10.0
READ_SECONDS = 5.0  # in which the last lines of stages must come
END_SECONDS = 10.0  # in which tasks that are interrupted end their stages


class RayEngine:
    """Runs jobs as tasks of Ray. folder: snapshots, clones and notes of this project.

    Raises TouchstoneError where the cluster cannot be reached, or no node has what a stage is to get, and where the
    remote of `cluster.remote` does not take what the stages need.
    """

    def __init__(self, repo: Repo, folder: Path, *, cluster: Cluster, stages: Collection[str], slots: int) -> None:
        self._ray = _connected(cluster.address)
        self.slots, self._cluster, self._folder = slots, cluster, folder
        try:
            for stage in sorted(stages):
                self._check(stage, cluster.of(stage))
            self._way = _OverRemote(self._ray, repo, cluster) if cluster.remote else _OverFolder(repo, folder, cluster)
        except BaseException:
            self._ray.shutdown()
            raise
        self._task = self._ray.remote(self._way.function)
        self._running: dict[Any, Job] = {}  # by Ray's reference to its outcome

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
        resources = self._cluster.of(job.stage)
        options = {"num_cpus": resources.cpus, "num_gpus": resources.gpus, "max_retries": self._cluster.retries}
        options |= {"memory": int(resources.memory_gb * GB)} if resources.memory_gb else {}
        reference = self._task.options(name=job.stage, **options).remote(*self._way.arguments(job))
        self._running[reference] = job

    def wait(self, seconds: float) -> list[Outcome]:
        ended, _ = self._ray.wait(list(self._running), timeout=seconds)
        return [self._outcome(reference, self._running.pop(reference)) for reference in ended]

    def _outcome(self, reference: Any, job: Job) -> Outcome:
        try:
            result = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            why = one_line(error.cause if isinstance(error, self._ray.exceptions.RayTaskError) else error)
            return Outcome(job.stage, {}, f"its task left no result: {why}", 0.0)
        return self._way.outcome(job, result)

    def progress(self) -> dict[str, str]:
        """Return the last line that each stage printed, "" for those that wait for a node."""
        lines = self._way.lines([job.stage for job in self._running.values()])
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


class _OverFolder:
    """Tasks on nodes that see the project's folder and DVC's cache."""

    function = staticmethod(run_task)

    def __init__(self, repo: Repo, folder: Path, cluster: Cluster) -> None:
        self._folder, self._notes = folder, Notes()
        self._clones = Path(cluster.scratch) if cluster.scratch else folder / "clones"
        root, cache = Path(repo.root_dir), Path(repo.cache.legacy.path)
        self._snapshot = take_snapshot(root, folder / "snapshots", cache=cache)

    def arguments(self, job: Job) -> tuple[Any, ...]:
        return (Task(job, self._snapshot, self._clones, self._note(job.stage)),)

    def _note(self, stage: str) -> Path:
        return self._folder / "notes" / stage

    def outcome(self, job: Job, result: Any) -> Outcome:
        outcome: Outcome = result
        return outcome

    def lines(self, stages: list[str]) -> dict[str, str]:
        return self._notes.lines({stage: self._note(stage) for stage in stages})


class _OverRemote:
    """Tasks on nodes that share no folder with the project: see remote.py."""

    function = staticmethod(run_sent)

    def __init__(self, ray: Any, repo: Repo, cluster: Cluster) -> None:
        self._ray, self._cluster, self._root = ray, cluster, Path(repo.root_dir)
        self._options = options_of(repo, cluster.remote)
        chosen = {"core": {"remote": cluster.remote}, "remote": {cluster.remote: {"verify": True}}}
        self._repo = Repo(repo.root_dir, config=chosen)
        self._stages = {stage.addressing: stage for stage in self._repo.index.stages}
        self._project = hashlib.sha256(f"{socket.gethostname()} {self._root}".encode()).hexdigest()[:16]
        self._staying = transfer.staying(self._stages)
        self._there: set[str] = set()  # stages whose outputs are on the remote
        self._lines: dict[str, str] = {}
        self._files = ray.put(packed_project(self._root, without=RESULTS))
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board = ray.remote(_Board).options(num_cpus=0, scheduling_strategy=here).remote()

    def arguments(self, job: Job) -> tuple[Any, ...]:
        """Push the outputs that the stage may read, and its own from an earlier run, unless they are there."""
        inputs = {name: entry for name, entry in job.inputs.items() if name not in self._staying}
        new = inputs.keys() - self._there
        transfer.push(self._repo, (self._stages[name] for name in new))
        self._there |= new
        if job.before and transfer.has_result(self._repo, job.before):
            transfer.send_result(self._repo, job.before)
        own = packed_inputs(self._root, self._stages[job.stage])
        remote, scratch = self._cluster.remote, self._cluster.scratch
        task = SentTask(replace(job, inputs=inputs), self._project, remote, self._options, scratch, own)
        return task, self._files, partial(_note, self._board, job.stage)

    def outcome(self, job: Job, result: Any) -> Outcome:
        """Write the stage's log, and fetch its outputs."""
        outcome: Outcome
        outcome, log = result
        job.log.parent.mkdir(parents=True, exist_ok=True)
        job.log.write_bytes(log)
        if outcome.error:
            return outcome
        try:
            transfer.fetch_result(self._repo, outcome.entry)
        except TouchstoneError as error:  # the other jobs go on
            return Outcome(job.stage, {}, str(error), outcome.seconds)
        self._there.add(job.stage)
        return outcome

    def lines(self, stages: list[str]) -> dict[str, str]:
        with suppress(self._ray.exceptions.RayError):  # as of a cluster that has just lost a node
            self._lines = self._ray.get(self._board.read.remote(), timeout=READ_SECONDS)
        return {stage: self._lines.get(stage, "") for stage in stages}


class _Board:
    """An actor of Ray that holds the last line of each stage."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}

    def note(self, stage: str, line: str) -> None:
        self._lines[stage] = line

    def read(self) -> dict[str, str]:
        return self._lines


def _note(board: Any, stage: str, line: str) -> None:
    board.note.remote(stage, line)


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

"""`touchstone repro --on slurm` on a real Slurm of two nodes: the bytes of `dvc repro`, whatever its jobs meet."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit.pipeline import TINY, assert_same
from kit.project import ENVIRONMENT, project
from kit.slurm import SlurmCluster, needs_slurm, slurm_cluster

pytestmark = [pytest.mark.slow, needs_slurm]
pytest.importorskip("submitit", reason="no submitit: pip install 'touchstone[slurm]'")
ACTIVE = ("PENDING", "RUNNING", "COMPLETING", "REQUEUED")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as started:
        yield started


class Head:
    """A `touchstone repro --on slurm` that runs beside the test."""

    def __init__(self, folder: Path, cluster: SlurmCluster) -> None:
        self._cluster, self.folder = cluster, folder
        self._out = folder / ".touchstone/head.txt"
        self._out.parent.mkdir(exist_ok=True)
        with open(self._out, "w") as out:
            command = ["touchstone", "repro", "--on", "slurm"]
            variables = ENVIRONMENT | cluster.variables
            self.process = subprocess.Popen(
                command, cwd=folder, env=variables, stdout=out, stderr=out, start_new_session=True
            )

    def said(self) -> str:
        return self._out.read_text()

    def running(self, node: str = "", but: str = "") -> str:
        """Wait until a job runs its stage, on this node if one is given, and return its id."""
        for _ in range(3000):
            assert self.process.poll() is None, self.said()
            for number, where in self._cluster.jobs("RUNNING"):
                if number != but and node in where and self._cluster.stages(number):
                    return number
            time.sleep(0.1)
        raise AssertionError(f"no job runs: {self.said()}")

    def wait_for(self, pattern: str) -> None:
        while not re.search(pattern, self.said()):
            assert self.process.poll() is None, self.said()
            time.sleep(0.1)

    def wait(self) -> int:
        return self.process.wait(timeout=900)


@pytest.fixture
def start(cluster: SlurmCluster) -> Iterator[Callable[[Path], Head]]:
    """Starts the command in a folder; what still runs when the test ends is killed."""
    heads: list[Head] = []

    def started(folder: Path) -> Head:
        heads.append(Head(folder, cluster))
        return heads[-1]

    yield started
    for head in heads:
        if head.process.poll() is None:
            os.killpg(head.process.pid, signal.SIGKILL)
            head.process.wait()


def test_it_gives_the_bytes_of_dvc_repro(tiny: Path, start: Callable[[Path], Head], tmp_path: Path) -> None:
    head = start(project(tmp_path / "project", *TINY))
    assert head.wait() == 0, head.said()
    assert_same(head.folder, tiny)
    assert re.search(r"^job \d+: \S+ and \d+ more$", head.said(), re.MULTILINE), "an array"
    assert re.search(r"train@simple-fixed: [\d.]+ s", head.said())
    assert (
        "Running stage 'train@simple-fixed'"
        in (head.folder / ".touchstone/repro/logs/train@simple-fixed.log").read_text()
    )
    assert not (head.folder / ".touchstone/repro/slurm").exists()


def test_whatever_becomes_of_its_jobs_nothing_is_lost(
    tiny: Path, cluster: SlurmCluster, start: Callable[[Path], Head], tmp_path: Path
) -> None:
    folder = project(tmp_path / "project", *TINY, "cluster={cpus: 2, retries: 3}")
    head = start(folder)
    killed = head.running()
    cluster.kill(killed)
    head.wait_for(f"job {killed} left no result .*; it runs again")

    head.running()
    command = ["touchstone", "repro", "--on", "slurm"]
    twice = subprocess.run(command, cwd=folder, env=ENVIRONMENT | cluster.variables, capture_output=True, text=True)
    assert twice.stderr.startswith("error: another `touchstone repro` is running in this folder")

    os.killpg(head.process.pid, signal.SIGINT)
    assert head.wait() == 1
    assert re.search(r"^\d+ jobs go on; the same command takes them up again$", head.said(), re.MULTILINE)
    ledger = folder / ".touchstone/repro/slurm/jobs.json"
    before = json.loads(ledger.read_text())
    assert {number for number, _ in cluster.jobs("RUNNING")} & {entry["id"] for entry in before.values()}
    head = start(folder)
    head.running()
    now = json.loads(ledger.read_text())
    assert {stage: now[stage] for stage in before} == before, "none is submitted twice"

    timed_out = ""
    while not any("Requeued job" in log.read_text() for log in ledger.parent.glob("jobs/*_log.*")):
        timed_out = head.running(but=timed_out)
        cluster.run("scancel", "--signal=USR2", timed_out, check=False)  # as near the time limit, if it has not ended
        time.sleep(5)

    head.running("node2")
    cluster.lose("node2")
    time.sleep(15)  # SlurmdTimeout, after which Slurm knows
    cluster.script("join", "node2")

    cancelled = ""
    while cluster.state(cancelled) != "CANCELLED":  # else it had just ended
        cancelled = head.running(but=cancelled)
        cluster.run("scancel", cancelled, check=False)
        while cluster.state(cancelled) in ("RUNNING", "COMPLETING"):
            time.sleep(0.1)
    assert head.wait() == 1
    assert re.search(rf"its job {cancelled} left no result: it was cancelled; its log: ", head.said())
    head = start(folder)
    assert head.wait() == 0, head.said()
    assert_same(folder, tiny)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("{gpus: 4}", r"error: --on slurm: Slurm refuses a job with gpus: 4, .*cluster"),
        ("{partition: fast}", r"error: --on slurm: Slurm refuses .* in the partition fast: .*cluster"),
        ("{stages: {trian: {gpus: 1}}}", r"error: params\.yaml: cluster\.stages\.trian: .*did you mean train\?"),
        ("{gpu: 1}", r"error: params\.yaml: cluster\.gpu: unknown key .*did you mean gpus\?"),
    ],
)
def test_what_a_cluster_cannot_do_is_one_line(
    tiny_space: Path, cluster: SlurmCluster, settings: str, said: str
) -> None:
    assert re.search(f"^{said}", refused(tiny_space, settings, cluster.variables))


def test_a_scheduler_that_cannot_be_reached_is_one_line(
    tiny_space: Path, cluster: SlurmCluster, tmp_path: Path
) -> None:
    there = tmp_path / "slurm.conf"
    text = (cluster.folder / "slurm.conf").read_text()
    there.write_text(re.sub(r"SlurmctldPort=\d+", "SlurmctldPort=1\nMessageTimeout=2", text))
    said = refused(tiny_space, "{}", {"SLURM_CONF": str(there)})
    assert re.search(r"^error: --on slurm: squeue: .*connect.*; `sinfo` says", said)


def refused(folder: Path, settings: str, variables: dict[str, str]) -> str:
    """The line by which a change that needs one stage ends on a cluster with these settings."""
    file = folder / "params.yaml"
    file.write_text(file.read_text().replace("rotate_deg: 10", "rotate_deg: 11") + f"cluster: {settings}\n")
    command = ["touchstone", "repro", "--on", "slurm", "transform"]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT | variables, capture_output=True, text=True)
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return line

"""A Slurm cluster of two nodes on this machine (tests/cluster/slurm.sh), and what a test does to its jobs."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from kit.project import ENVIRONMENT, ROOT

SCRIPT = ROOT / "tests/cluster/slurm.sh"
SEARCHED = f"{os.environ['PATH']}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
DAEMONS = ("munged", "slurmctld", "slurmd")
needs_slurm = pytest.mark.skipif(
    not all(shutil.which(name, path=SEARCHED) for name in DAEMONS),
    reason="no Slurm on this machine: apt-get install slurm-wlm munge",
)


class SlurmCluster:
    """The cluster whose files lie in `folder`; commands find it by the variable SLURM_CONF."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables = {"SLURM_CONF": str(folder / "slurm.conf")}

    def script(self, command: str, *arguments: str) -> None:
        subprocess.run(["sh", SCRIPT, command, self.folder, *arguments], check=True, timeout=120)

    def run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(command, env=ENVIRONMENT | self.variables, capture_output=True, text=True, check=check)
        return done.stdout

    def jobs(self, *states: str) -> list[tuple[str, str]]:
        """The id and the node of each job in these states."""
        listed = self.run("squeue", "--array", "--noheader", f"--states={','.join(states)}", "--format=%i|%N")
        return [tuple(line.split("|")) for line in listed.splitlines()]

    def raw_id(self, job: str) -> str:
        """The id that a job of an array has of its own."""
        return self._asked(job, "%A")

    def state(self, job: str) -> str:
        return self._asked(job, "%T") if job else ""

    def _asked(self, job: str, form: str) -> str:
        return self.run("squeue", "--noheader", "--states=all", f"--job={job}", f"--format={form}").strip()

    def stages(self, job: str) -> bool:
        """Whether a job runs a stage by now."""
        processes = self.processes("SLURM_JOB_ID", self.raw_id(job))
        return any("stages/" in " ".join(p.cmdline()) or "warm" in " ".join(p.cmdline()) for p in processes)

    def processes(self, variable: str, value: str) -> set[psutil.Process]:
        """The processes of jobs that have this variable."""
        found = set()
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                variables = process.environ()
                ours = variables.get("SLURM_CONF") == self.variables["SLURM_CONF"] and "SLURM_JOB_ID" in variables
                if ours and variables.get(variable) == value:
                    found.add(process)
        return found

    def kill(self, job: str) -> None:
        """Kill all processes of a job, as a machine out of memory would."""
        _kill(self.processes("SLURM_JOB_ID", self.raw_id(job)))

    def lose(self, node: str) -> None:
        """Kill a node's daemon and its jobs with their daemons, as a power failure would."""
        os.kill(int((self.folder / f"{node}.pid").read_text()), 9)
        jobs = self.processes("SLURMD_NODENAME", node)
        leaders = {parent for job in jobs for parent in job.parents() if parent.name().startswith("slurmstepd")}
        _kill(leaders | jobs)


def _kill(processes: set[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[SlurmCluster]:
    cluster = SlurmCluster(folder)
    try:
        cluster.script("start")
        yield cluster
    finally:
        cluster.script("stop")

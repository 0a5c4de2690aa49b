"""The engine of a scheduler: what it submits together, takes up again, cancels, and does about jobs that are lost."""

import json
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from dvc.repo import Repo

from kit.project import run
from touchstone.cluster import queue
from touchstone.cluster.clone import Task
from touchstone.cluster.engine import Job, Outcome
from touchstone.cluster.queue import QueueEngine, State
from touchstone.config.graph import read_stages
from touchstone.config.schema.cluster import Cluster, OfStage, Resources

GRAPH = """
stages:
  a: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}
  b: {cmd: cat a.txt a.txt > b.txt, deps: [a.txt], outs: [b.txt]}
  c: {cmd: cat a.txt in.txt > c.txt, deps: [a.txt, in.txt], outs: [c.txt]}
  slow: {cmd: "echo run >> ROOT/runs.txt; sleep 3; cp in.txt slow.txt", deps: [in.txt], outs: [slow.txt]}
  bad: {cmd: "echo 'error: no good' >&2; exit 1", deps: [in.txt], outs: [bad.txt]}
"""
SMALL = Resources()


class Recorder:
    """A scheduler that runs nothing: tests say what becomes of its jobs."""

    def __init__(self) -> None:
        self.arrays: list[tuple[list[str], Resources]] = []
        self.known: dict[str, State] | None = {}
        self.results: dict[str, Outcome] = {}
        self.cancelled: list[str] = []

    def submit(self, tasks: Sequence[Task], resources: Resources) -> list[str]:
        self.arrays.append(([task.job.stage for task in tasks], resources))
        numbers = [f"{len(self.arrays)}_{number}" for number in range(len(tasks))]
        self.known = (self.known or {}) | {number: State("RUNNING", True) for number in numbers}
        return numbers

    def states(self) -> dict[str, State] | None:
        return self.known

    def outcomes(self, job_ids: Collection[str]) -> dict[str, Outcome]:
        return {number: self.results[number] for number in job_ids if number in self.results}

    def log(self, job_id: str) -> str:
        return f"what {job_id} wrote\n"

    def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """A project of three stages and one that fails, in which the engine waits for nothing."""
    for name in ("ASK_SECONDS", "GRACE_SECONDS", "LOOK_SECONDS"):
        monkeypatch.setattr(queue, name, -1.0)
    root = tmp_path / "project"
    root.mkdir()
    (root / "dvc.yaml").write_text(GRAPH.replace("ROOT", str(root)))
    (root / "in.txt").write_text("one\n")
    (root / ".gitignore").write_text("/runs.txt\n/.touchstone/\n/metrics/runtime/\n")
    run("git", "init", "-q", cwd=root)
    Repo.init(str(root))
    monkeypatch.chdir(root)
    return Repo(str(root))


def engine(repo: Repo, scheduler: Any, **settings: Any) -> QueueEngine:
    folder = Path(repo.root_dir) / ".touchstone/repro/slurm"
    return QueueEngine(repo, folder, scheduler, cluster=Cluster(**settings), slots=9)


def job(repo: Repo, stage: str, inputs: dict[str, Any] | None = None) -> Job:
    return Job(stage, inputs or {}, {}, Path(repo.root_dir) / f".touchstone/repro/logs/{stage}.log")


def test_stages_that_are_ready_together_are_one_array_for_each_kind_of_resources(repo: Repo) -> None:
    scheduler = Recorder()
    one = engine(repo, scheduler, stages={"b": OfStage(gpus=1)})
    for stage in "abc":
        one.submit(job(repo, stage))
    assert not scheduler.arrays
    assert one.wait(0) == []
    assert scheduler.arrays == [(["a", "c"], SMALL), (["b"], Resources(gpus=1))]
    scheduler.results["1_1"] = Outcome("c", {"cmd": "c"}, "", 3.0)
    assert one.wait(0) == [Outcome("c", {"cmd": "c"}, "", 3.0)]
    assert one.wait(0) == []
    assert len(scheduler.arrays) == 2


def test_the_next_engine_takes_up_jobs_that_run_or_have_ended(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    scheduler = Recorder()
    first = engine(repo, scheduler)
    for stage in "abc":
        first.submit(job(repo, stage))
    first.wait(0)
    first.close()
    assert "3 jobs go on" in capsys.readouterr().out
    scheduler.results["1_1"] = Outcome("b", {"cmd": "b"}, "", 3.0)
    assert scheduler.known is not None
    del scheduler.known["1_1"], scheduler.known["1_2"]  # c left no result
    second = engine(repo, scheduler)
    for stage in "abc":
        second.submit(job(repo, stage))
    assert [outcome.stage for outcome in second.wait(0)] == ["b"]
    assert scheduler.arrays[1:] == [(["c"], SMALL)], "it alone is submitted again"
    assert scheduler.cancelled == []
    third = engine(repo, scheduler)  # the second was killed
    for stage in "abc":
        third.submit(job(repo, stage))
    assert [outcome.stage for outcome in third.wait(0)] == ["b"], "a result stays until the command has ended"
    assert len(scheduler.arrays) == 2


@pytest.mark.parametrize("changed", ["inputs", "a file that no stage makes"])
def test_a_job_on_other_inputs_is_cancelled(repo: Repo, changed: str) -> None:
    scheduler = Recorder()
    a = {"a": {"outs": [{"path": "a.txt", "md5": "1"}]}}
    first = engine(repo, scheduler)
    for stage in ("b", "c"):
        first.submit(job(repo, stage, a))
    first.wait(0)
    if changed == "inputs":
        a = {"a": {"outs": [{"path": "a.txt", "md5": "2"}]}}
    else:
        (Path(repo.root_dir) / "in.txt").write_text("two\n")
    second = engine(repo, scheduler)
    for stage in ("b", "c"):
        second.submit(job(repo, stage, a))
    second.wait(0)
    again = {"inputs": ["b", "c"]}.get(changed, ["c"])
    assert scheduler.cancelled == [f"1_{'bc'.index(stage)}" for stage in again]
    assert scheduler.arrays[1:] == [(again, SMALL)]


def test_a_job_that_is_lost_runs_again_but_not_for_ever(repo: Repo) -> None:
    scheduler = Recorder()
    one = engine(repo, scheduler, retries=1)
    one.submit(job(repo, "a"))
    one.wait(0)
    scheduler.known = {"1_0": State("NODE_FAIL")}
    assert one.wait(0) == []
    assert one.wait(0) == []
    assert len(scheduler.arrays) == 2
    scheduler.known = {}
    [outcome] = one.wait(0)
    assert outcome.error == "its job 2_0 left no result: gone from the queue"


@pytest.mark.parametrize(("state", "why"), [("CANCELLED", "it was cancelled"), ("OUT_OF_MEMORY", "cluster.memory_gb")])
def test_a_job_that_was_cancelled_or_too_large_does_not_run_again(repo: Repo, state: str, why: str) -> None:
    scheduler = Recorder()
    one = engine(repo, scheduler)
    one.submit(job(repo, "a"))
    one.wait(0)
    scheduler.known = {"1_0": State(state)}
    [outcome] = one.wait(0)
    assert why in outcome.error
    assert len(scheduler.arrays) == 1
    one.close()
    assert not (Path(repo.root_dir) / ".touchstone/repro/slurm").exists()


def test_a_scheduler_that_does_not_answer_has_lost_no_job(repo: Repo) -> None:
    scheduler = Recorder()
    one = engine(repo, scheduler)
    one.submit(job(repo, "a"))
    one.wait(0)
    scheduler.known = None
    for _ in range(3):
        assert one.wait(0) == []
    assert len(scheduler.arrays) == 1
    scheduler.results["1_0"] = Outcome("a", {"cmd": "a"}, "", 1.0)
    assert one.wait(0)


def test_what_runs_is_shown_before_what_waits_and_its_reason_is_said_once(
    repo: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler = Recorder()
    one = engine(repo, scheduler)
    for stage in "ab":
        one.submit(job(repo, stage))
    one.wait(0)
    held = State("PENDING", True, reason="JobHeldUser")
    scheduler.known = {"1_0": held, "1_1": State("RUNNING", True, node="node7")}
    note = Path(repo.root_dir) / ".touchstone/repro/slurm/notes/b"
    note.parent.mkdir(parents=True)
    note.write_text("epoch 3")
    for _ in range(2):
        one.wait(0)
    assert list(one.progress().items()) == [
        ("b", "job 1_1 RUNNING node7 epoch 3"),
        ("a", "job 1_0 PENDING JobHeldUser"),
    ]
    assert capsys.readouterr().out.count("job 1_0 (a) waits: JobHeldUser") == 1


class ByProcesses:
    """An engine whose jobs are processes of this machine, by submitit's executor `local`."""

    def __init__(self, repo: Repo, folder: str = "slurm") -> None:
        submitit = pytest.importorskip("submitit", reason="no submitit: pip install 'touchstone[slurm]'")
        from touchstone.cluster.slurm import Checkpointed, Slurm

        jobs: dict[str, Any] = {}

        class OnThisMachine(Slurm):
            def submit(self, tasks: Sequence[Task], resources: Resources) -> list[str]:
                made = submitit.LocalExecutor(self._folder).map_array(Checkpointed(), tasks)
                jobs.update({one.job_id: one for one in made})
                return [one.job_id for one in made]

            def states(self) -> dict[str, State]:
                return {number: State(one.state, one.state == "RUNNING") for number, one in jobs.items()}

        self.folder, self.jobs = Path(repo.root_dir) / ".touchstone/repro" / folder, jobs
        scheduler = OnThisMachine(self.folder, Cluster())
        self.engine = QueueEngine(repo, self.folder, scheduler, cluster=Cluster(), slots=9)

    def ended(self, *stages: str) -> dict[str, Outcome]:
        found: dict[str, Outcome] = {}
        while len(found) < len(stages):
            found |= {outcome.stage: outcome for outcome in self.engine.wait(0.1)}
        return found


def test_jobs_of_submitit_give_the_entries_of_dvc_repro(repo: Repo) -> None:
    root, run_by = Path(repo.root_dir), ByProcesses(repo)
    run_by.engine.submit(job(repo, "a"))
    run_by.engine.submit(job(repo, "bad"))
    first = run_by.ended("a", "bad")
    assert first["bad"].error == "no good"
    assert first["a"].error == ""
    run_by.engine.submit(job(repo, "b", {"a": first["a"].entry}))
    entries = {"a": first["a"].entry, "b": run_by.ended("b")["b"].entry}
    run_by.engine.close()
    assert not run_by.folder.exists()
    assert "cat a.txt a.txt" in (root / ".touchstone/repro/logs/b.log").read_text()
    assert "Running stage" not in run("dvc", "repro", "b", cwd=root).stdout, "all from the run-cache"
    assert json.loads(json.dumps(read_stages(root / "dvc.lock"))) == entries
    assert (root / "b.txt").read_text() == "one\none\n"


def test_a_job_whose_processes_are_killed_runs_again(repo: Repo) -> None:
    root, run_by = Path(repo.root_dir), ByProcesses(repo)
    run_by.engine.submit(job(repo, "slow"))
    while not (root / "runs.txt").exists():
        run_by.engine.wait(0.1)
    [killed] = run_by.jobs.values()
    for process in [*(parent := psutil.Process(killed._process.pid)).children(recursive=True), parent]:
        process.kill()
    assert run_by.ended("slow")["slow"].error == ""
    assert (root / "runs.txt").read_text() == "run\nrun\n"
    assert len(run_by.jobs) == 2


def test_of_two_jobs_of_one_stage_the_second_takes_the_result_of_the_first(repo: Repo) -> None:
    both = [ByProcesses(repo, folder) for folder in ("one", "two")]
    for run_by in both:
        run_by.engine.submit(job(repo, "slow"))
        run_by.engine.wait(0)
    entries = [run_by.ended("slow")["slow"].entry for run_by in both]
    assert entries[0] == entries[1] != {}
    assert (Path(repo.root_dir) / "runs.txt").read_text() == "run\n"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("slrum", "--on slrum: expected one of local, slurm, ray; did you mean slurm?"),
        ("slurm", "--on slurm: submitit is not installed; run `pip install 'touchstone[slurm]'`"),
        ("ray", "--on ray: ray is not installed; run `pip install 'touchstone[ray]'`"),
    ],
)
def test_an_engine_that_is_not_there_is_one_line(tmp_path: Path, name: str, said: str) -> None:
    code = (
        "import importlib.util, sys; importlib.util.find_spec = lambda name: None;"
        "from touchstone.cli import main; main(['repro', '--on', sys.argv[1]])"
    )
    done = subprocess.run([sys.executable, "-c", code, name], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"error: {said}\n"


def test_the_jobs_of_seeds_are_submitted_beside_others(repo: Repo) -> None:
    scheduler = Recorder()
    one = engine(repo, scheduler)
    for stage in ("b~0", "b~1", "c"):
        one.submit(job(repo, stage))
    one.wait(0)
    assert scheduler.arrays == [(["b~0", "b~1", "c"], SMALL)]


def test_all_jobs_of_a_command_run_the_files_that_it_began_with(repo: Repo) -> None:
    scheduler = Recorder()
    one = engine(repo, scheduler)
    snapshots = []
    submit = scheduler.submit

    def noted(tasks: Sequence[Task], resources: Resources) -> list[str]:
        snapshots.extend(task.snapshot for task in tasks)
        return submit(tasks, resources)

    scheduler.submit = noted  # type: ignore[method-assign]
    one.submit(job(repo, "a"))
    one.wait(0)
    (Path(repo.root_dir) / "in.txt").write_text("two\n")
    one.submit(job(repo, "c"))
    one.wait(0)
    assert len(set(snapshots)) == 1
    assert (snapshots[0] / "in.txt").read_text() == "one\n"
    one.close()
    two = engine(repo, scheduler)
    for stage in "ac":
        two.submit(job(repo, stage))
    assert scheduler.cancelled == ["1_0", "2_0"], "they run the file as it was before it was edited"


def test_the_job_of_a_stage_that_is_gone_is_cancelled(repo: Repo) -> None:
    scheduler = Recorder()
    first = engine(repo, scheduler)
    for stage in ("b~0", "c"):
        first.submit(job(repo, stage))
    first.wait(0)
    graph = Path(repo.root_dir) / "dvc.yaml"
    graph.write_text("".join(line for line in graph.read_text().splitlines(True) if not line.startswith("  b:")))
    engine(Repo(repo.root_dir), scheduler)
    assert scheduler.cancelled == ["1_0"]


def test_a_job_that_fails_before_its_stage_leaves_its_log_where_the_stage_would(repo: Repo) -> None:
    scheduler = Recorder()
    one = engine(repo, scheduler)
    one.submit(job(repo, "a"))
    one.wait(0)
    scheduler.results["1_0"] = Outcome("", {}, "its job 1_0 failed: OSError: full", 0.0)
    assert one.wait(0) == [Outcome("a", {}, "its job 1_0 failed: OSError: full", 0.0)]
    assert job(repo, "a").log.read_text() == "what 1_0 wrote\n"

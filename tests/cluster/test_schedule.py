"""A graph of stages on an engine that runs nothing: order, slots, failures, and what each job is given."""

from pathlib import Path

from touchstone.cluster.engine import Job, Outcome
from touchstone.cluster.schedule import run_graph

#      a
#     / \
#    b   c
#    |   |
#    d   |
#     \ /
#      e
DIAMOND: dict[str, set[str]] = {"a": set(), "b": {"a"}, "c": {"a"}, "d": {"b"}, "e": {"c", "d"}}

BEFORE = {"c": {"cmd": "the last c"}}


class Recorder:
    """An engine in which each job ends at the next look, except that those in `failing` fail."""

    def __init__(self, slots: int, failing: tuple[str, ...] = ()) -> None:
        self.slots, self.failing = slots, failing
        self.jobs: list[Job] = []
        self.running: list[Job] = []
        self.most = 0

    def submit(self, job: Job) -> None:
        self.jobs.append(job)
        self.running.append(job)
        self.most = max(self.most, len(self.running))

    def wait(self, seconds: float) -> list[Outcome]:
        job = self.running.pop(0)
        error = "no good" if job.stage in self.failing else ""
        return [Outcome(job.stage, {} if error else {"cmd": job.stage}, error, 1.0)]

    def progress(self) -> dict[str, str]:
        return {job.stage: "" for job in self.running}

    def close(self) -> None: ...


def run(engine: Recorder, entries: dict[str, object], seconds: dict[str, float] | None = None) -> list[Outcome]:
    nothing = {"ended": lambda outcome: None, "show": lambda progress: None}
    return run_graph(DIAMOND, entries, engine, before=BEFORE, logs=Path("logs"), seconds=seconds or {}, **nothing)


def test_a_stage_starts_once_all_that_it_needs_has_ended() -> None:
    engine = Recorder(slots=4)
    run(engine, {})
    names = [job.stage for job in engine.jobs]
    assert sorted(names) == list("abcde")
    assert all(names.index(needed) < names.index(name) for name, needs in DIAMOND.items() for needed in needs)
    assert engine.most == 2


def test_no_more_run_at_a_time_than_there_are_slots() -> None:
    engine = Recorder(slots=1)
    assert len(run(engine, {})) == 5
    assert engine.most == 1


def test_the_longest_chain_goes_first() -> None:
    for seconds, second in (({}, "b"), ({"c": 9.0}, "c")):
        engine = Recorder(slots=1)
        run(engine, {}, seconds)
        assert [job.stage for job in engine.jobs][1] == second


def test_finished_stages_do_not_run_and_serve_as_inputs() -> None:
    engine = Recorder(slots=2)
    entries: dict[str, object] = {"a": {"cmd": "old a"}, "b": {"cmd": "old b"}}
    run(engine, entries)
    assert {job.stage for job in engine.jobs} == {"c", "d", "e"}
    given = {job.stage: job.inputs for job in engine.jobs}
    assert given["c"] == {"a": {"cmd": "old a"}}
    assert given["e"] == {**{n: {"cmd": f"old {n}"} for n in "ab"}, **{n: {"cmd": n} for n in "cd"}}
    assert {job.stage: job.before for job in engine.jobs} == {"c": BEFORE["c"], "d": {}, "e": {}}
    assert entries["e"] == {"cmd": "e"}


def test_a_failure_stops_only_what_depends_on_it() -> None:
    engine = Recorder(slots=2, failing=("b",))
    entries: dict[str, object] = {}
    outcomes = run(engine, entries)
    assert {outcome.stage: outcome.error for outcome in outcomes} == {"a": "", "b": "no good", "c": ""}
    assert set(entries) == {"a", "c"}


def test_a_job_without_an_entry_is_waited_for_but_no_input() -> None:
    class Parts(Recorder):
        def wait(self, seconds: float) -> list[Outcome]:
            [outcome] = super().wait(seconds)
            return [outcome if outcome.stage != "b" else Outcome("b", {}, "", 1.0)]

    engine = Parts(slots=1)
    run(engine, {})
    inputs = {job.stage: list(job.inputs) for job in engine.jobs}
    assert (inputs["d"], inputs["e"]) == (["a"], ["a", "c", "d"])

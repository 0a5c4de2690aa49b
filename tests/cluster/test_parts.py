"""The jobs of single seeds: their names, their place in the graph, and when they have nothing to do."""

from touchstone.cluster.parts import part_of, parted, with_parts, with_seeds

NEEDS = {"prepare": set[str](), "train@a-real": {"prepare"}, "train@b-real": {"prepare"}, "evaluate": {"train@a-real"}}
SEEDS = {"train@a-real": (0, 1, 7), "train@b-real": (0, 1)}


def test_a_job_is_named_by_its_stage_and_its_seed() -> None:
    assert parted(part_of("train@a-real", 12)) == ("train@a-real", 12)
    assert parted("train@a-real") == ("train@a-real", None)


def test_a_stage_waits_for_its_seeds_and_they_for_what_it_needs() -> None:
    graph = with_seeds(NEEDS, {"train@a-real", "evaluate"}, SEEDS)
    parts = {f"train@a-real~{seed}" for seed in (0, 1, 7)}
    assert graph.keys() == NEEDS.keys() | parts
    assert all(graph[part] == {"prepare"} for part in parts)
    assert graph["train@a-real"] == {"prepare"} | parts
    assert graph["evaluate"] == {"train@a-real"}
    assert NEEDS["train@a-real"] == {"prepare"}, "the graph of stages stays as it was"


def test_jobs_of_seeds_share_the_seconds_of_their_stage_unless_theirs_are_known() -> None:
    graph = with_seeds(NEEDS, SEEDS.keys(), SEEDS)
    seconds = with_parts({"train@a-real": 30.0, "train@a-real~7": 4.0}, graph, shared=True)
    assert seconds == {"train@a-real": 30.0, "train@a-real~0": 10.0, "train@a-real~1": 10.0, "train@a-real~7": 4.0}
    entries = with_parts({"train@b-real": {"cmd": "x"}}, graph)
    assert entries == {name: {"cmd": "x"} for name in ("train@b-real", "train@b-real~0", "train@b-real~1")}

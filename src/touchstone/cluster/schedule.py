"""Runs a graph of stages on an engine: each stage as soon as what it needs is there and a slot is free."""

from collections.abc import Callable, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from touchstone.cluster.engine import Engine, Job, Outcome

LOOK_SECONDS = 0.2
Graph = Mapping[str, set[str]]
"""Stage -> the stages that it directly depends on."""


def run_graph(
    needs: Graph,
    entries: dict[str, Any],
    engine: Engine,
    *,
    before: Mapping[str, Any],
    logs: Path,
    seconds: Mapping[str, float],
    ended: Callable[[Outcome], None],
    show: Callable[[dict[str, str]], None],
) -> list[Outcome]:
    """Run the stages of `needs` that have no entry, and return how each ended; those after a failed one do not run.

    entries: finished stages -> their entries in dvc.lock; those that end well are added. A job without outputs
    has an empty one, which others are not given. before: stages -> their
    entries from an earlier run. seconds: how long a stage took then, if it is known: of several that could start, the
    one with the longest chain of stages after it does.
    """
    order = TopologicalSorter({name: needs[name] - entries.keys() for name in needs.keys() - entries.keys()})
    order.prepare()
    priority = _longest_chain(needs, seconds)
    ready: list[str] = []
    running = 0
    outcomes: list[Outcome] = []
    while True:
        ready = sorted([*ready, *order.get_ready()], key=lambda name: (-priority[name], name))
        while ready and running < engine.slots:
            stage = ready.pop(0)
            inputs = {name: entries[name] for name in sorted(_before(needs, stage)) if entries[name]}
            engine.submit(Job(stage, inputs, before.get(stage, {}), logs / f"{stage}.log"))
            running += 1
        if not running:
            return outcomes
        for outcome in engine.wait(LOOK_SECONDS):
            running -= 1
            outcomes.append(outcome)
            ended(outcome)
            if not outcome.error:
                entries[outcome.stage] = outcome.entry
                order.done(outcome.stage)
        show(engine.progress())


def _before(needs: Graph, stage: str) -> set[str]:
    """All stages that a stage depends on, also through others."""
    found: set[str] = set()
    todo = [stage]
    while todo:
        new = needs[todo.pop()] - found
        found |= new
        todo += new
    return found


def _longest_chain(needs: Graph, seconds: Mapping[str, float]) -> dict[str, float]:
    """The seconds of each stage and of the longest chain of stages that follow it."""
    chain = dict.fromkeys(needs, 0.0)
    for name in reversed(list(TopologicalSorter(needs).static_order())):
        chain[name] += seconds.get(name, 1.0)
        for needed in needs[name]:
            chain[needed] = max(chain[needed], chain[name])
    return chain

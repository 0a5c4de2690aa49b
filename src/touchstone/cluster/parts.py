"""Seeds as jobs: each seed of a run trains in a job of its own, before the job of its stage, which gathers them.

The job of a seed writes no output of the stage: its weights go to the resume store in .touchstone, which all jobs
share. A stage therefore gives the same bytes, whether its seeds were trained before or not. The name of such a job is
that of its stage and the seed, as in train@lenet-real~1.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import dvc.stage.run
from dvc.repo import Repo
from dvc.stage import PipelineStage

from touchstone.cluster.schedule import Graph
from touchstone.config.settings import Settings
from touchstone.stage import SEED

MARK = "~"
STAGES = ("train", "finetune", "student")


def part_of(stage: str, seed: int) -> str:
    """Return the name of the job of a stage's seed."""
    return f"{stage}{MARK}{seed}"


def parted(name: str) -> tuple[str, int | None]:
    """Return the stage of a job, and the seed that it is for, or None where it is the stage itself."""
    stage, _, seed = name.partition(MARK)
    return stage, int(seed) if seed else None


def seeds_of(settings: Settings) -> dict[str, Sequence[int]]:
    """Return the seeds of each stage that trains several; probes take seconds, and theirs stay together."""
    return {
        f"{kind}@{model}-{arm}": how.seeds
        for model, how in settings.trained.items()
        for arm in settings.arms
        for kind in STAGES
        if how.probe is None and len(how.seeds) > 1
    }


def with_seeds(needs: Graph, todo: Collection[str], seeds: Mapping[str, Sequence[int]]) -> Graph:
    """Add the jobs of their seeds to a graph, before those stages of `todo` that have several."""
    out = {stage: set(needed) for stage, needed in needs.items()}
    for stage in sorted(set(todo) & seeds.keys()):
        parts = {part_of(stage, seed) for seed in seeds[stage]}
        out |= {part: set(needs[stage]) for part in parts}
        out[stage] |= parts
    return out


def with_parts(figures: Mapping[str, Any], graph: Graph, *, shared: bool = False) -> dict[str, Any]:
    """Add to figures of stages those of their seeds' jobs that have none: the same or, if `shared`, an equal part."""
    parts = {name: stage for name in graph for stage, seed in [parted(name)] if seed is not None and stage in figures}
    number = Counter(parts.values())
    return {part: figures[of] / number[of] if shared else figures[of] for part, of in parts.items()} | dict(figures)


def run_part(repo: Repo, stage: PipelineStage, seed: int, *, before: bool) -> None:
    """Train a seed of a stage whose inputs are there, unless DVC has the stage's outputs.

    before: whether dvc.lock has an entry of the stage.
    """
    is_same = before and not stage.changed_stage() and not stage.changed_deps()
    if is_same and not any(out.use_cache and out.changed_cache() for out in stage.outs):
        return
    stage.save_deps()
    cached = repo.stage_cache._load(stage)
    if cached and repo.stage_cache._create_stage(cached, wdir=stage.wdir).outs_cached():
        return
    command = f"{stage.cmd} {SEED}{seed}"
    dvc.stage.run._run(dvc.stage.run.get_executable(), command, **dvc.stage.run.prepare_kwargs(stage))

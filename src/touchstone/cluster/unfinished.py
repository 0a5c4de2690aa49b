"""Which stages a command has to run, what they depend on, and which of them can run in a copy of the project."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import Stage
from dvc.stage.serialize import to_single_stage_lockfile

from touchstone.cluster.copies import project_files
from touchstone.cluster.engines import GRAPH
from touchstone.cluster.schedule import Graph
from touchstone.studies.path_set import PathSet
from touchstone.studies.workspace import FILLED


def stages_of(repo: Repo, targets: list[str]) -> list[Stage]:
    """The targets and all stages that they depend on."""
    todo: list[Stage] = [stage for target in targets for stage in repo.stage.collect(target)]
    found: dict[str, Stage] = {}
    while todo:
        stage = todo.pop()
        if stage.addressing not in found:
            found[stage.addressing] = stage
            todo += repo.index.graph.successors(stage)  # DVC's edges lead to what a stage depends on
    return list(found.values())


def changed_stages(repo: Repo, targets: list[str]) -> set[str]:
    """Those of the targets and the stages before them that DVC would run.

    `dvc status` with a whole dvc.yaml as its target walks through the graph once for each stage.
    """
    with repo.lock:
        return {name for stage in stages_of(repo, targets) for name in stage.status(check_updates=True)}


def unfinished(repo: Repo, targets: list[str]) -> tuple[dict[str, set[str]], dict[str, Any]]:
    """Stage -> what it directly depends on; and the entries in dvc.lock of the stages that are up to date."""
    stages = {stage.addressing: stage for stage in stages_of(repo, targets) if stage.cmd}  # not .dvc files
    needs = {
        name: {other.addressing for other in repo.index.graph.successors(stage) if other.cmd}
        for name, stage in stages.items()
    }
    changed = changed_stages(repo, targets)
    while more := {name for name in needs.keys() - changed if needs[name] & changed}:
        changed |= more
    for name in _only_here(repo, needs, {name: stages[name] for name in stages.keys() & changed}):
        del needs[name], stages[name]
    finished = [stage for name, stage in stages.items() if name not in changed]
    return needs, {stage.addressing: json.loads(json.dumps(to_single_stage_lockfile(stage))) for stage in finished}


def _only_here(repo: Repo, needs: Graph, stages: Mapping[str, Stage]) -> set[str]:
    """Those of the stages that only the project itself can run, and all that depend on them.

    DVC keeps some out of its run-cache: stages without inputs or outputs, stages that always run or read from a remote,
    and stages with an output that is neither in DVC's cache nor a metric. Others read what copies of the project do not
    have: outputs that are not in DVC's cache, and files that no stage makes and git does not list. Those of a dvc.yaml
    in another folder stay, too.
    """
    root, outs = Path(repo.root_dir), [(stage, out) for stage in repo.index.stages for out in stage.outs]
    uncached = PathSet(out.fs_path for _, out in outs if not out.use_cache)
    copied = PathSet(
        [
            *(out.fs_path for stage, out in outs if stage.cmd),
            *(str(root / name) for name in (*project_files(root), *FILLED)),
        ]
    )

    def is_hidden(dep: Output) -> bool:
        if dep.fs.protocol != "local":
            return True
        if not Path(dep.fs_path).is_relative_to(root):
            return not os.path.isabs(dep.def_path)
        return uncached.overlaps(dep.fs_path) or not copied.overlaps(dep.fs_path)

    here = {
        name
        for name, stage in stages.items()
        if not (stage.deps and stage.outs)
        or stage.always_changed
        or stage.path_in_repo != GRAPH
        or any(not out.use_cache and not out.is_metric and not out.is_plot for out in stage.outs)
        or any(map(is_hidden, stage.deps))
    }
    while more := {name for name in needs.keys() - here if needs[name] & here}:
        here |= more
    return here

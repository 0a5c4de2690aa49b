"""Outputs of stages that are gone: a transform, generator, model or arm that params.yaml no longer names.

DVC leaves them where they are, and a stage that depends on a whole folder would take them for its inputs. dvc.lock does
not list all of them: an experiment's or a killed run's are gone from it once an older one is restored. So the project
remembers what the stages make.
"""

import json
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from touchstone.config.graph import read_stages

GRAPH = Path("dvc.yaml")
MADE = Path(".touchstone/outputs.json")  # the outputs that the stages have had here since they were last cleared


def remove_leftovers(settings: Any, *, graph: Path = GRAPH) -> None:
    """Remove what `leftovers` finds, say so, and remember the outputs that the stages are about to make."""
    for path in leftovers(settings, graph=graph):
        print(f"removed: {path}, which no stage makes any more (DVC's cache has it, if its stage ended)")
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    made = graph.parent / MADE
    made.parent.mkdir(exist_ok=True)
    new = made.with_suffix(".new")
    new.write_text(json.dumps(sorted(out for out in set(_outputs(read_stages(graph), settings)) if "$" not in out)))
    new.replace(made)


def remembered(root: Path) -> set[str]:
    """The paths of the outputs that the stages had when `settings` last ran in this folder; none before that."""
    try:
        return set(json.loads((root / MADE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # none, or one that was damaged: it is written anew
        return set()


def leftovers(settings: Any, *, graph: Path = GRAPH) -> list[Path]:
    """Return the outputs of earlier stages that lie beside those of matrix stages and belong to no stage now, sorted.

    dvc.lock lists them, as DVC keeps the entries of stages that are gone, or `remembered` does. Whatever else lies
    there is not DVC's, and stays.

    settings: its attributes are the sections of params.yaml that the matrices name, such as transforms.
    """
    root = graph.parent
    outputs = {root / out for out in _outputs(read_stages(graph), settings)}
    folders = {out.parent for out in outputs}
    of_folders = {folder.parent for folder in folders if "${" in folder.name}  # folders named by values of a matrix
    lock = graph.with_suffix(".lock")
    locked = read_stages(lock).values() if lock.is_file() else ()
    known = {root / out["path"] for stage in locked for out in stage.get("outs", ())}
    known |= {root / out for out in remembered(root)}
    return sorted(
        path
        for path in known - outputs
        if (path.parent in folders or path.parent.parent in of_folders) and path.exists()
    )


def _outputs(stages: dict[str, Any], settings: Any) -> Iterator[str]:
    """The outputs of all stages; of a matrix without values, a name that no file has keeps the folder listed."""
    for entry in stages.values():
        stage = entry.get("do", entry)
        axes = {"key": entry["foreach"]} if "foreach" in entry else stage.get("matrix", {})
        sections = [getattr(settings, axis.strip("${}")) if isinstance(axis, str) else axis for axis in axes.values()]
        values = [[*map(str, section), "${}"] for section in sections]
        for out in _paths(stage):
            for item in product(*values):
                path = out
                for axis, value in zip(axes, item, strict=True):
                    path = path.replace(f"${{item.{axis}}}", value).replace(f"${{{axis}}}", value)
                yield path


def _paths(stage: dict[str, Any]) -> list[str]:
    listed = [entry for key in ("outs", "plots", "metrics") for entry in stage.get(key, ())]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in listed]

"""`touchstone study`: a recipe, run in a copy of the project of its own."""

import shutil
from collections.abc import Collection
from contextlib import chdir
from pathlib import Path

from dvc.repo import Repo
from dvc.utils.serialize import dumps_yaml

from touchstone.cluster.repro import repro
from touchstone.config import yaml
from touchstone.config.load import load
from touchstone.errors import TouchstoneError
from touchstone.notes import RUNTIME
from touchstone.studies import cost, made_by, quotes
from touchstone.studies.alone import alone
from touchstone.studies.commands import git
from touchstone.studies.workspace import copy, copy_project, recipe

MADE, FIGURES, LOCK = Path("metrics"), "figures", "dvc.lock"


def study(name: str, *, root: Path, changes: list[str], jobs: int | None, engine: str = "local") -> Path:
    """Run recipes/<name> in its own copy of the project; keep what it made beside the recipe.

    changes: "key=value" each, set over the recipe's params; meant for what differs between machines, such as
    source.mirror. jobs, engine: as for `repro`. Return the folder of the copy. Raise TouchstoneError
    on an unknown recipe, on bad params and where a stage fails.
    """
    folder = recipe(name, root)
    space = root / ".touchstone/studies" / name
    settings = yaml.changed((folder / "params.yaml").read_text(encoding="utf-8"), changes)
    refusal = f"another `touchstone study {name}` is running here; wait until it ends"
    with alone(space.with_name(f"{name}.lock"), refusal=refusal):
        copy_project(root, space, settings=settings)
        load(space / "params.yaml")
        maker = made_by.maker(settings, root)  # before it runs, as the code may be edited meanwhile
        git(space, "init", "-q")  # git lists the files that workers need
        with chdir(space):
            try:
                repro(Path.cwd(), [], jobs=jobs, engine=engine)
            except TouchstoneError as error:
                raise TouchstoneError(f"study {name}, in {space}: {error}") from error
            with Repo() as repo:
                stages = {stage.addressing for stage in repo.index.stages}
        _keep(space / MADE, folder)
        made_by.record(folder, "study", maker)
        if name != made_by.DEFAULT:  # whose lock and costs are the project's
            lock = kept_lock((space / LOCK).read_text(encoding="utf-8"), stages=stages)
            (folder / LOCK).write_text(lock, encoding="utf-8")
            cost.record(folder, space / RUNTIME, stages=stages)
    for file in quotes.update(root):
        print(f"{file.relative_to(root)}: quotes the new report")
    return space


def _keep(made: Path, folder: Path) -> None:
    """Copy what `made_by.KEPT` names from the folder `made` to the recipe's, in place of what an earlier run made."""
    shutil.rmtree(folder / FIGURES, ignore_errors=True)
    for name in made_by.KEPT["study"]:
        if name != FIGURES:
            copy(made / name, folder / name)
        elif (made / name).is_dir():  # a graph of one's own may draw none
            shutil.copytree(made / name, folder / name)


def kept_lock(lock: str, *, stages: Collection[str]) -> str:
    """Return the text of a dvc.lock without stages that the graph has no more, and without the places of this machine.

    These are the sections `made_by.PLACES` of params.yaml, and inputs outside the project.
    """
    entries = yaml.parse(lock)
    entries["stages"] = {name: entry for name, entry in entries["stages"].items() if name in stages}
    for entry in entries["stages"].values():
        for params in entry.get("params", {}).values():
            for section in made_by.PLACES:
                params.pop(section, None)
        if "deps" in entry:
            entry["deps"] = [dep for dep in entry["deps"] if not Path(dep["path"]).is_absolute()]
    return str(dumps_yaml(entries))

"""`touchstone study`: a recipe, run in a copy of the project of its own."""

import shutil
from contextlib import chdir
from pathlib import Path

from dvc.utils.serialize import dumps_yaml

from touchstone.cluster.repro import repro
from touchstone.config import yaml
from touchstone.config.load import load
from touchstone.errors import TouchstoneError
from touchstone.stage import RUNTIME
from touchstone.studies import cost, made_by, quotes
from touchstone.studies.alone import alone
from touchstone.studies.commands import git
from touchstone.studies.workspace import copy, copy_project, recipe

MADE, LOCK = Path("metrics"), "dvc.lock"


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
        runs = load(space / "params.yaml").runs
        maker = made_by.maker(settings, root)  # before it runs, as the code may be edited meanwhile
        git(space, "init", "-q")  # git lists the files that workers need
        with chdir(space):
            try:
                repro(Path.cwd(), [], jobs=jobs, engine=engine)
            except TouchstoneError as error:
                raise TouchstoneError(f"study {name}, in {space}: {error}") from error
        _keep(space, folder)
        made_by.record(folder, "study", maker)
        cost.record(folder, space / RUNTIME, runs=runs)
    for file in quotes.update(root):
        print(f"{file.relative_to(root)}: quotes the new report")
    return space


def _keep(space: Path, folder: Path) -> None:
    """Copy what `made_by.KEPT` names from the copy of the project to the recipe's folder."""
    for name in made_by.KEPT["study"]:
        made = space / MADE / name
        shutil.rmtree(folder / name, ignore_errors=True)
        if made.is_dir():
            shutil.copytree(made, folder / name)
        elif made.is_file():
            copy(made, folder / name)
    if folder.name != made_by.DEFAULT:  # whose lock is the project's
        lock = _without_places((space / LOCK).read_text(encoding="utf-8"))
        (folder / LOCK).write_text(lock, encoding="utf-8")


def _without_places(lock: str) -> str:
    """Return the text of a dvc.lock without the parameters that say where data and processes are."""
    entries = yaml.parse(lock)
    for stage in entries["stages"].values():
        for params in stage.get("params", {}).values():
            for section in made_by.PLACES:
                params.pop(section, None)
    return str(dumps_yaml(entries))

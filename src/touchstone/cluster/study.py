"""`touchstone study`: a recipe, run in a copy of the project of its own."""

import shutil
from contextlib import chdir
from pathlib import Path

from touchstone.cluster.repro import repro
from touchstone.config import yaml
from touchstone.config.load import load
from touchstone.errors import TouchstoneError
from touchstone.studies import made_by, quotes
from touchstone.studies.alone import alone
from touchstone.studies.commands import git
from touchstone.studies.workspace import copy, copy_project, recipe

MADE = Path("metrics")
*FILES, FIGURES = made_by.KEPT["study"]


def study(name: str, *, root: Path, changes: list[str], jobs: int | None, engine: str = "local") -> Path:
    """Run recipes/<name> in its own copy of the project; keep its metrics, report and figures beside the recipe.

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
        for file_name in FILES:
            copy(space / MADE / file_name, folder / file_name)
        shutil.rmtree(folder / FIGURES, ignore_errors=True)
        if (space / MADE / FIGURES).is_dir():  # a graph of one's own may draw none
            shutil.copytree(space / MADE / FIGURES, folder / FIGURES)
        made_by.record(folder, "study", maker)
    for file in quotes.update(root):
        print(f"{file.relative_to(root)}: quotes the new report")
    return space

"""A copy of the project in which another params.yaml runs; the project's own outputs stay as they are."""

import shutil
from pathlib import Path

from touchstone.errors import TouchstoneError, nearest
from touchstone.studies.commands import cache_folder, git, locked_outputs, outputs_in_git, write_config

FILLED = ("data/added", "data/external", "data/weights")
"""The folders that people fill, of which git need not know."""
LINKED = (*FILLED, ".touchstone/downloads")


def copy_project(root: Path, to: Path, *, settings: str, scm: bool = False) -> None:
    """Bring the copy at `to` up to date with the project at `root`, with `settings` as its params.yaml.

    Files that git tracks or would add are copied where they differ; images, weights and downloads are linked; DVC's
    cache is shared. The copy keeps its own dvc.lock, outputs and resume states: a run in it continues where it stopped.
    No output of the project is copied. scm: whether the copy is to be a git repository of its own.

    Raise TouchstoneError where `root` is not a git checkout and a DVC repository.
    """
    try:
        listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    except TouchstoneError as error:
        raise TouchstoneError(f"{error}; a study copies the files that git lists") from error
    names = {name for name in listed.split("\0") if name and (root / name).is_file()}
    outputs = outputs_in_git(root)
    for folder in ("src", "stages", "recipes"):
        for old in sorted((to / folder).rglob("*.*")):
            if old.is_file() and old.relative_to(to).as_posix() not in names:
                old.unlink()
    for name in sorted(names - {"dvc.lock", "params.yaml"}):
        if not any(name == output or name.startswith(f"{output}/") for output in outputs):
            copy(root / name, to / name)
    _remove_foreign(to, outputs)
    (to / "params.yaml").write_text(settings, encoding="utf-8")
    for name in LINKED:
        (root / name).mkdir(parents=True, exist_ok=True)
        _link(to / name, (root / name).resolve())
    write_config(to, cache=cache_folder(root), base=root, scm=scm)


def _link(link: Path, to: Path) -> None:
    """Make a link to a folder in place of what is there, such as a link into the project that this one is a copy of."""
    if link.is_symlink():
        if link.readlink() == to:
            return
        link.unlink()
    shutil.rmtree(link, ignore_errors=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(to, target_is_directory=True)


def _remove_foreign(to: Path, outputs: set[str]) -> None:
    """Delete the outputs that no run in the copy has written: its dvc.lock does not list them."""
    own = {name for _, name, _ in locked_outputs(to)} if (to / "dvc.lock").is_file() else set()
    for path in (to / name for name in outputs - own):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def copy(source: Path, target: Path) -> None:
    """Copy where the bytes differ: unchanged files keep their times, and DVC need not hash them again."""
    if target.is_file() and target.read_bytes() == source.read_bytes():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def recipe(name: str, root: Path) -> Path:
    """The folder of a recipe. Raise TouchstoneError where there is none."""
    recipes = sorted(path.parent.name for path in (root / "recipes").glob("*/params.yaml"))
    if name not in recipes:
        raise TouchstoneError(
            f"recipes/{name}/params.yaml: no such file; recipes are {', '.join(recipes)}{nearest(name, recipes)}"
        )
    return root / "recipes" / name

"""A copy of the project in which another params.yaml runs, so that the project's own outputs stay as they are."""

import shutil
import subprocess
import sys
from pathlib import Path

from touchstone.config import params, yaml12
from touchstone.errors import TouchstoneError, nearest
from touchstone.studies import quotes

PRODUCTS = ("metrics/metrics.json", "metrics/report.md")
LINKED = ("data/external", "data/weights", ".touchstone/downloads")
OWN = ("dvc.lock", "params.yaml", *PRODUCTS)  # what a copy has of its own


def copy_project(root: Path, to: Path, *, settings: str, scm: bool = False) -> None:
    """Bring `to` up to date with the project at `root`, with `settings` as its params.yaml.

    Git's files, tracked or new, are copied where they differ; images, weights and downloads are linked; DVC's cache
    is shared. The copy keeps its dvc.lock, outputs and resume states, so that running in it goes on where it stopped.
    scm: it is to be a git repository of its own.
    """
    names = _files(root)
    for folder in ("src", "stages", "recipes"):
        for old in sorted((to / folder).rglob("*.*")):
            if old.is_file() and old.relative_to(to).as_posix() not in names:
                old.unlink()
    for name in sorted(names - set(OWN)):
        _copy(root / name, to / name)
    (to / "params.yaml").write_text(settings, encoding="utf-8")
    for name in LINKED:
        (root / name).mkdir(parents=True, exist_ok=True)
        if not (to / name).is_symlink():
            shutil.rmtree(to / name, ignore_errors=True)
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            (to / name).symlink_to((root / name).resolve(), target_is_directory=True)
    core = "" if scm else "[core]\n    no_scm = true\n"
    (to / ".dvc/config.local").write_text(f"{core}[cache]\n    dir = {cache_of(root)}\n")


def cache_of(root: Path) -> Path:
    """The folder of DVC's cache. Raises TouchstoneError where `root` is no DVC repository."""
    done = subprocess.run(["dvc", "cache", "dir"], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TouchstoneError(f"{root}: {' '.join(done.stderr.split())}; run from the folder that holds dvc.yaml")
    return Path(done.stdout.strip())


def recipe(name: str, root: Path) -> Path:
    """The folder of a recipe. Raises TouchstoneError on an unknown one."""
    known = sorted(path.parent.name for path in (root / "recipes").glob("*/params.yaml"))
    if name not in known:
        raise TouchstoneError(
            f"recipes/{name}/params.yaml: no such file; recipes are {', '.join(known)}{nearest(name, known)}"
        )
    return root / "recipes" / name


def study(name: str, *, root: Path, changes: list[str]) -> Path:
    """Run recipes/<name> in its own copy of the project; keep its metrics and report beside the recipe.

    changes: "key=value" each, over the recipe's params; for what belongs to a machine, such as data.mirror.

    Returns the folder of the copy. Raises TouchstoneError on an unknown recipe, on bad params and where a stage fails.
    """
    folder = recipe(name, root)
    space = root / ".touchstone/studies" / name
    settings = yaml12.changed((folder / "params.yaml").read_text(encoding="utf-8"), changes)
    copy_project(root, space, settings=settings)
    params.load(space / "params.yaml")
    if subprocess.run(["dvc", "repro"], cwd=space).returncode:
        raise TouchstoneError(f"study {name}: a stage failed, see above; mend it and run the same command again")
    for product in PRODUCTS:
        _copy(space / product, folder / Path(product).name)
    for file in quotes.update(root):
        print(f"{file.relative_to(root)}: quotes the new report")
    return space


def _files(root: Path) -> set[str]:
    """Git's files below `root`, tracked or new, that are there."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    out = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if out.returncode:
        print(out.stderr, file=sys.stderr)
        raise TouchstoneError(f"{root}: not a git checkout; a study copies the files that git knows")
    return {name for name in out.stdout.split("\0") if name and (root / name).is_file()}


def _copy(source: Path, target: Path) -> None:
    """Copy where the bytes differ, so that unchanged files keep their times and DVC need not hash them."""
    if target.is_file() and target.read_bytes() == source.read_bytes():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)

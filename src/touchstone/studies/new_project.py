"""`touchstone new`: lay out a project that has the pipeline, and none of its recipes, tests, docs and results."""

import hashlib
import shutil
from pathlib import Path

from touchstone.errors import TouchstoneError
from touchstone.studies.commands import git

SOURCE = Path(__file__).parents[3]
NOTE = Path(".touchstone/new")
MARKS = ("dvc.yaml", "stages/settings.py")  # the files by which a folder is known to be a project
TOPS = ("src", "stages", ".dvc", "data")
FILES = (
    *(".dvcignore", ".gitignore", "LICENSE", "Makefile", "constraints.txt", "dvc.yaml", "params.yaml"),
    *("pyproject.toml", "requirements.lock"),
)
README = """# {name}

A study by Touchstone: does adding images help a classifier?

```
make setup && source .venv/bin/activate     # needs Python 3.11 or newer, git and make
touchstone init PATH                        # looks at your images and writes params.yaml
touchstone plan                             # says what will run, and how long it will take
touchstone repro                            # runs it; metrics/report.html opens with the verdict
```

`params.yaml` holds every number of the study. `src/` and `stages/` are the pipeline; commit them with your study, since
`dvc.lock` holds results by the hash of the code that made them.
"""


def note_unchanged(root: Path) -> None:
    """Note the present params.yaml as one that holds nothing of the user's."""
    (root / NOTE).parent.mkdir(parents=True, exist_ok=True)
    (root / NOTE).write_text(_sha256(root), encoding="utf-8")


def is_unchanged(root: Path) -> bool:
    """Whether params.yaml is still as `touchstone new` laid it out."""
    return (root / NOTE).is_file() and (root / NOTE).read_text(encoding="utf-8") == _sha256(root)


def _sha256(root: Path) -> str:
    return hashlib.sha256((root / "params.yaml").read_bytes()).hexdigest()


def project_around(folder: Path) -> Path | None:
    """Return the nearest folder, `folder` itself or one around it, that holds a project; None where there is none."""
    whole = folder.resolve()
    return next((each for each in (whole, *whole.parents) if all((each / mark).is_file() for mark in MARKS)), None)


def new_project(to: Path) -> int:
    """Lay out a project in the new folder `to`, as a git repository, and return its number of files.

    Raises TouchstoneError where `to` exists and is not empty or lies in a project, and where this package was not
    installed from a clone, or a larger repository, which has the stages beside it.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise TouchstoneError(f"{to}: exists already; give a new folder")
    if around := project_around(to):
        other = around.parent / to.resolve().name
        beside = "" if other.exists() else f", such as {other}"
        remedy = f"give a folder outside of it{beside}, or run `touchstone init PATH` in {around} to set that one up"
        raise TouchstoneError(f"{to}: lies in the project {around}, and projects cannot be nested; {remedy}")
    if not (SOURCE / "dvc.yaml").is_file():
        raise TouchstoneError(
            "the stages are not beside the package; install Touchstone from a clone with `make setup`"
        )
    names = _files()
    for name in names:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(SOURCE / name, to / name)
    (to / "README.md").write_text(README.format(name=to.resolve().name), encoding="utf-8")
    git(to, "init", "--quiet")
    note_unchanged(to)
    return len(names) + 1


def _is_in_larger_repository() -> bool:
    """Return whether the pipeline is kept in git with the folders around it."""
    try:
        return bool(git(SOURCE, "ls-files", "--", MARKS[0], LC_ALL="C").strip())
    except TouchstoneError as error:
        if "not a git repository" in str(error):
            return False
        raise


def _files() -> list[str]:
    """Return the files of the pipeline as they are now. Raises TouchstoneError where git does not keep them."""
    if not ((SOURCE / ".git").exists() or _is_in_larger_repository()):
        raise TouchstoneError(
            f"{SOURCE}: is no clone, so git cannot tell the pipeline's files from others; get it with `git clone`, and "
            "install it there with `make setup`"
        )
    known = git(SOURCE, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    ours = [name for name in known if name in FILES or name.split("/")[0] in TOPS]
    return [name for name in ours if (SOURCE / name).is_file()]  # not those that were removed since the last commit

"""Private copies of the project, in which workers run stages without sharing a lock of DVC."""

import shutil
from pathlib import Path

from touchstone.studies.commands import git, write_config
from touchstone.studies.workspace import FILLED

KEPT = (".touchstone", "metrics/runtime")
"""Resume states and notes, each stage's own, which outlive a copy."""
SHARED = (*KEPT, *FILLED)
"""The folders that copies on machines that see the project share with it."""


def project_files(root: Path) -> list[str]:
    """The files of the project as they are now: all that git knows or would add. Raises TouchstoneError without git."""
    return [
        name
        for name in git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
        if name and (root / name).is_file()
    ]


def copy_project(root: Path, to: Path, *, names: list[str], cache: Path) -> None:
    """Copy the named files; link what is shared; and let DVC there use the cache of the project."""
    shutil.rmtree(to, ignore_errors=True)
    for name in names:
        if name.startswith(tuple(f"{shared}/" for shared in SHARED)):
            continue
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, to / name)
    for name in SHARED:
        (root / name).mkdir(parents=True, exist_ok=True)
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).symlink_to((root / name).resolve(), target_is_directory=True)
    write_config(to, cache=cache, base=root)

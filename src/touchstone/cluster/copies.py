"""Private copies of the project, in which workers run stages without sharing a lock of DVC."""

import os
import shutil
from pathlib import Path, PurePath

from touchstone.config import yaml
from touchstone.errors import TouchstoneError
from touchstone.studies.commands import git, write_config
from touchstone.studies.workspace import FILLED

KEPT = (".touchstone", "metrics/runtime")
"""Resume states and notes, each stage's own, which outlive a copy."""
SHARED = (*KEPT, *FILLED)
"""The folders that copies on machines that see the project share with it."""


def project_files(root: Path) -> list[str]:
    """Return the files of the project as they are now: all that git knows or would add, but for images at source.path.

    Only the stage `download` reads these, and no job runs it. Raises TouchstoneError without git.
    """
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    images = _images(root)
    return [
        name
        for name in listed
        if name and not (images and PurePath(name).is_relative_to(images)) and (root / name).is_file()
    ]


def _images(root: Path) -> PurePath | None:
    """The folder or archive of images that lies in the project, where params.yaml names one; None elsewhere."""
    try:
        path = str(yaml.parse((root / "params.yaml").read_text(encoding="utf-8"))["source"]["path"])
    except (OSError, UnicodeDecodeError, TouchstoneError, KeyError, TypeError):  # a graph of one's own has no such key
        return None
    inside = PurePath(os.path.relpath(root / path, root))
    return inside if "://" not in path and ".." not in inside.parts and inside.parts else None


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

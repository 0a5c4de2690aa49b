"""What studies read from dvc.yaml and dvc.lock, and where DVC's cache lies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from touchstone.errors import TouchstoneError
from touchstone.studies.commands import dvc_output


def outputs_in_git(root: Path) -> set[str]:
    """The outputs in `root`/dvc.yaml that git keeps and DVC's cache does not: those with `cache: false`.

    Raise TouchstoneError where dvc.yaml is missing or cannot be read.
    """
    with _readable(root / "dvc.yaml") as stages:
        commands = [stage.get("do", stage) for stage in stages.values()]
        outs = [out for command in commands for kind in ("outs", "metrics", "plots") for out in command.get(kind, ())]
        options = {name: given for out in outs if isinstance(out, dict) for name, given in out.items()}
        return {name for name, given in options.items() if given and given.get("cache") is False}


def locked_outputs(root: Path) -> list[tuple[str, str, str]]:
    """(stage, path, md5) of each output in `root`/dvc.lock.

    Raise TouchstoneError where dvc.lock is missing or cannot be read.
    """
    with _readable(root / "dvc.lock") as stages:
        return [(name, out["path"], out["md5"]) for name, stage in stages.items() for out in stage.get("outs", ())]


def cache_folder(root: Path) -> Path:
    """The folder of DVC's cache. Raise TouchstoneError where `root` is not a DVC repository."""
    try:
        return Path(dvc_output(root, "cache", "dir").strip())
    except TouchstoneError as error:
        raise TouchstoneError(f"{root}: {error}; run from the folder that holds dvc.yaml") from error


@contextmanager
def _readable(file: Path) -> Iterator[dict[str, Any]]:
    """The stages of a file of DVC; whatever is wrong with them is one line."""
    try:
        yield yaml.safe_load(file.read_text(encoding="utf-8"))["stages"]
    except (OSError, yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason, remedy = " ".join(str(error).split()), ", or run `dvc repro`" if file.suffix == ".lock" else ""
        raise TouchstoneError(f"{file}: not readable ({reason}); `git checkout` it{remedy}") from error

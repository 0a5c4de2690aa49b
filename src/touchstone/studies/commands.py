"""DVC, git and scripts as child processes, which nothing else here starts, and what dvc.yaml and dvc.lock list.

DVC is the one that is installed beside this interpreter, whatever PATH holds; git is the one on PATH.
"""

import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from configobj import ConfigObj
from yaml import YAMLError

from touchstone.config.graph import read_stages
from touchstone.errors import TouchstoneError

LOCAL = Path(".dvc/config.local")
DVC = (sys.executable, "-P", "-m", "dvc")  # -P: a file of the working folder, such as yaml.py, is not imported


def dvc(root: Path, *arguments: str, **variables: str) -> bool:
    """Run DVC in `root` and let it write to the terminal; return whether it succeeded.

    variables: environment variables to set for it.
    """
    return subprocess.run([*DVC, *arguments], cwd=root, env=_environment(variables)).returncode == 0


def dvc_output(root: Path, *arguments: str, **variables: str) -> str:
    """Run DVC in `root` and return what it writes to stdout. Raise TouchstoneError where it fails."""
    return _output(DVC, arguments, root, variables)


def end_all_in(folder: Path, *, words: Collection[str] = ()) -> None:
    """Kill all processes that work in the folder or below it, but for this one.

    words: only those whose command line has all of these, as names of programs or arguments.
    """
    for process in psutil.process_iter(["cwd", "cmdline"]):
        where, command = process.info["cwd"], process.info["cmdline"] or ()
        here = bool(where) and Path(where).is_relative_to(folder.resolve())
        if here and process.pid != os.getpid() and {Path(part).name for part in command}.issuperset(words):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def python(root: Path, script: str, **variables: str) -> str:
    """Run a script with this interpreter in `root` and return what it writes to stdout.

    Raise TouchstoneError where it fails, with the line in which it says why.
    """
    try:
        return _output((sys.executable,), (script,), root, variables)
    except TouchstoneError as error:
        raise TouchstoneError(str(error).rpartition("error: ")[2]) from error


def module(root: Path, name: str, *arguments: str) -> str:
    """Run a module of this package in `root` and return what it writes to stdout. Raise TouchstoneError as `python`."""
    try:
        return _output((sys.executable, "-P", "-m"), (name, *arguments), root, {})
    except TouchstoneError as error:
        raise TouchstoneError(str(error).rpartition("error: ")[2]) from error


def git(root: Path, *arguments: str, **variables: str) -> str:
    """Run git in `root` and return what it writes to stdout. Raise TouchstoneError where it fails or is missing."""
    try:
        return _output(("git",), arguments, root, variables)
    except FileNotFoundError as error:
        raise TouchstoneError("git: no such command on PATH; install git and run the same command again") from error


def _output(program: Sequence[str], arguments: Sequence[str], root: Path, variables: dict[str, str]) -> str:
    command = [*program, *arguments]
    environment, errors = _environment(variables), "surrogateescape"  # names of files may be no UTF-8
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, errors=errors)
    if done.returncode:
        raise TouchstoneError(f"{' '.join([program[-1], *arguments])}: {' '.join(done.stderr.split())}")
    return done.stdout


def _environment(variables: dict[str, str]) -> dict[str, str]:
    return os.environ | {"PATH": search_path()} | variables


def search_path() -> str:
    """PATH with the interpreter's folder first: dvc.yaml says `python stages/...`."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def cache_folder(root: Path) -> Path:
    """The folder of DVC's cache. Raise TouchstoneError where `root` is not a DVC repository."""
    try:
        return Path(dvc_output(root, "cache", "dir").strip())
    except TouchstoneError as error:
        raise TouchstoneError(f"{root}: {error}; run from the folder that holds dvc.yaml") from error


def write_config(
    to: Path,
    *,
    cache: Path,
    base: Path | None = None,
    scm: bool = False,
    sections: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Write the local configuration of DVC in a copy of the project, which uses this cache.

    base: a project whose own local configuration is taken over, with its remotes and their credentials. scm: whether
    the copy is a git repository of its own. sections: more of them, as section -> option -> text.
    """
    local = base / LOCAL if base else None
    config = ConfigObj(str(local) if local and local.is_file() else None, encoding="utf-8")  # as DVC itself
    for section, options in {"cache": {"dir": str(cache.resolve())}, **(sections or {})}.items():
        config.setdefault(section, {}).update(options)
    if not scm:
        config.setdefault("core", {})["no_scm"] = "true"
    for section, folder in _remotes_in_folders(base).items() if base else ():
        config.setdefault(section, {})["url"] = folder
    (to / LOCAL).parent.mkdir(parents=True, exist_ok=True)
    (to / LOCAL).touch(mode=0o600)
    (to / LOCAL).chmod(0o600)  # it may hold credentials
    config.filename = str(to / LOCAL)
    config.write()


def _remotes_in_folders(root: Path) -> dict[str, str]:
    """Section of a remote in DVC's configuration -> its folder, for those that are paths from the folder .dvc."""
    found = {}
    for file in (root / ".dvc/config", root / LOCAL):
        config = ConfigObj(str(file) if file.is_file() else None, encoding="utf-8")
        for section, options in config.items():
            if section.startswith("remote ") and (url := options.get("url")):
                found[section] = "" if "://" in url else os.path.normpath(root.resolve() / ".dvc" / url)
    return {section: folder for section, folder in found.items() if folder}


def outputs_in_git(root: Path) -> set[str]:
    """The outputs in `root`/dvc.yaml that git keeps and DVC's cache does not: those with `cache: false`.

    Raise TouchstoneError where dvc.yaml is missing or cannot be read.
    """
    with _stages(root / "dvc.yaml") as stages:
        commands = [stage.get("do", stage) for stage in stages.values()]
        outs = [out for command in commands for kind in ("outs", "metrics", "plots") for out in command.get(kind, ())]
        options = {name: given for out in outs if isinstance(out, dict) for name, given in out.items()}
        return {name for name, given in options.items() if given and given.get("cache") is False}


def locked_outputs(root: Path) -> list[tuple[str, str, str]]:
    """(stage, path, md5) of each output in `root`/dvc.lock.

    Raise TouchstoneError where dvc.lock is missing or cannot be read.
    """
    if not (root / "dvc.lock").exists():
        raise TouchstoneError("there is no dvc.lock here: nothing has run yet; run `touchstone repro`")
    with _stages(root / "dvc.lock") as stages:
        return [(name, out["path"], out["md5"]) for name, stage in stages.items() for out in stage.get("outs", ())]


@contextmanager
def _stages(file: Path) -> Iterator[dict[str, Any]]:
    """The stages in a file of DVC; whatever is wrong with them becomes one line."""
    try:
        yield read_stages(file)
    except (OSError, YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason, remedy = " ".join(str(error).split()), ", or run `dvc repro`" if file.suffix == ".lock" else ""
        raise TouchstoneError(f"{file}: not readable ({reason}); `git checkout` it{remedy}") from error

"""The file dvc.lock under `touchstone repro`: repaired after a kill, and in the order that `dvc repro` gives it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dvc.dvcfile import Lockfile
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro
from yaml import YAMLError

from touchstone.config.graph import read_stages
from touchstone.errors import TouchstoneError
from touchstone.studies.commands import git


@contextmanager
def repaired(root: Path, kept: Path) -> Iterator[None]:
    """Keep a copy of dvc.lock while this runs, and go on from it where a kill cut off DVC while it wrote the file.

    kept: the file for the copy. Nothing is lost but the entries since: DVC finds their outputs in its run-cache.
    """
    lock = root / "dvc.lock"
    if kept.is_file() and lock.is_file():  # the run before this one was killed
        _repair(root, lock, kept)
    new = kept.with_suffix(".new")
    new.write_bytes(lock.read_bytes() if lock.is_file() else b"")
    new.replace(kept)
    try:
        yield
    except BaseException:  # Ctrl-C or a full disk, say, while DVC wrote it
        _repair(root, lock, kept)
        kept.unlink(missing_ok=True)  # not after another Ctrl-C
        raise
    kept.unlink(missing_ok=True)


def _repair(root: Path, lock: Path, kept: Path) -> None:
    """Go back to the copy where dvc.lock was cut off: where it cannot be read, ends in a line, or lacks present stages.

    DVC removes no entries. One that is as committed was checked out since, and is left as it is.
    """
    try:
        before = read_stages(kept) if kept.stat().st_size else {}
    except (YAMLError, ValueError, KeyError, TypeError, AttributeError):  # with marks of a merge, say
        return
    text = lock.read_bytes() if lock.is_file() else b""
    if text and text == _committed(root).encode():
        return
    repo = Repo(str(root))
    try:
        present = {stage.addressing for stage in repo.index.stages}
    except DvcException:  # the graph itself has a mistake
        present = set(before)
    try:
        entries = Lockfile(repo, str(lock)).load().get("stages", {}).keys()
        is_whole = before.keys() & present <= entries and (text.endswith(b"\n") or not before)
    except DvcException:
        is_whole = False
    if not is_whole:
        print("dvc.lock was cut off: going on from what it was before")
        kept.replace(lock)
        if not lock.stat().st_size:  # there was none
            lock.unlink()


def _committed(root: Path) -> str:
    """The dvc.lock of the last commit; "" without one."""
    try:
        return git(root, "show", "HEAD:./dvc.lock")
    except TouchstoneError:
        return ""


def sort_lock(root: Path, targets: list[str]) -> None:
    """Put the entries of dvc.lock in the order in which `dvc repro` alone would have written them.

    DVC replaces entries where they stand and appends new ones as stages end. So those of the committed dvc.lock come
    first, then the others in the order of the graph.
    """
    file = root / "dvc.lock"
    head, *entries = _entries(file.read_text(encoding="utf-8"))
    committed = _entries(_committed(root))[1:]
    repo = Repo(str(root))
    steps = plan_repro(get_active_graph(repo.index.graph), collect_stages(repo, targets or ["dvc.yaml"]))
    names = [*map(_name, committed), *(stage.addressing for stage in steps), *map(_name, entries)]
    place = {name: position for position, name in reversed(list(enumerate(names)))}
    new = file.with_name(".dvc.lock.new")
    new.write_text(head + "".join(sorted(entries, key=lambda entry: place[_name(entry)])), encoding="utf-8")
    new.replace(file)


def _entries(lock: str) -> list[str]:
    """The text before the first entry, then the text of each."""
    return re.split(r"^(?=  \S)", lock, flags=re.MULTILINE)


def _name(entry: str) -> str:
    return entry.partition(":")[0].strip()


def locked(root: Path) -> dict[str, Any]:
    """The entries of dvc.lock by stage; none before the first run."""
    lock = root / "dvc.lock"
    return read_stages(lock) if lock.is_file() else {}

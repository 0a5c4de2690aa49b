"""Folders of resume states, one for each fingerprint of a stage's inputs."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from touchstone.code_hash import library_versions
from touchstone.config.graph import read_stages

GRAPH = Path("dvc.yaml")
COMPLETE, DONE = "complete.json", "done.json"  # in the folder of a stage's work, and of a part of it
# Work on other inputs is removed so many seconds after its last use.
FINISHED_SECONDS, UNFINISHED_SECONDS = 3600, 7 * 86_400
DIGITS = 32  # of a fingerprint, in the name of its folder
DIGITS_OF_PART = 16  # of the hash of a part's own inputs
KEEP = "TOUCHSTONE_KEEP_TRAINED"  # when set, finished work is reused although DVC runs the stage again

# Inputs of which each replicate may have a part of its own, whose hash its own folder is named by.
OF_REPLICATES = "data/prepared/train/images", "data/prepared/train/table.csv"

Apart = dict[str, Sequence[str] | None]  # path of an input -> keys to ignore in that JSON file; None: the whole file


def inputs(stage: str, *, graph: Path = GRAPH, **item: str) -> list[str]:
    """Return the paths that a stage declares as dependencies. item: values of its matrix, such as model="lenet"."""
    deps = read_stages(graph)[stage]["deps"]
    for name, value in item.items():
        deps = [dep.replace(f"${{item.{name}}}", value) for dep in deps]
    return deps


def fingerprint(paths: Sequence[str], *, accelerator: str, apart: Apart | None = None) -> str:
    """Return the sha256 of the contents of a stage's inputs, the versions of LIBRARIES and the kind of device.

    apart: parts to ignore, as the stage keeps its work where nothing else has changed. Raises KeyError on a path that
    is not among the inputs.
    """
    apart = apart or {}
    if unknown := set(apart) - set(paths):
        raise KeyError(f"{', '.join(sorted(unknown))}: not an input of the stage, which has {', '.join(paths)}")
    total = hashlib.sha256("\n".join([*library_versions(), accelerator]).encode())
    for path in paths:
        if apart.get(path, ()) is not None:
            total.update(f"{path}\n".encode() + _content(Path(path), tuple(apart.get(path) or ())))
    return total.hexdigest()


def _content(path: Path, without: tuple[str, ...]) -> bytes:
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return b"".join(file.relative_to(path).as_posix().encode() + _content(file, ()) for file in files)
    if without:

        def kept(values: dict[str, Any]) -> dict[str, Any]:
            return {key: value for key, value in values.items() if key not in without}

        values = json.loads(path.read_text(encoding="utf-8"), object_hook=kept)
        return hashlib.sha256(json.dumps(values).encode()).digest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def open_checkpoint(store: Path, fingerprint: str, *, request: str = "") -> Path:
    """Return the folder of a fingerprint, made if it is missing.

    Folders of other fingerprints are removed unless they were used lately: another experiment may be at work in them,
    or go on with them. The folder is emptied if this same request was marked complete before: a stage that runs again
    although nothing has changed, as with `dvc repro --force`, is a check and must not copy the earlier results.
    """
    folder = store / fingerprint[:DIGITS]
    _clear(other for other in (store.iterdir() if store.exists() else ()) if other != folder)
    note = folder / COMPLETE
    if note.exists() and note.read_text() == request and not os.environ.get(KEEP):
        shutil.rmtree(folder)
    return _used(folder)


def only_folder(store: Path, name: str, *content: str) -> Path:
    """Return the folder of a part of the work, named by it and by hashes of what it is made from.

    It is made if missing. Folders of the same part that were made from something else are removed, as by
    `open_checkpoint`.
    """
    folder = store / "-".join([name, *(sha256[:DIGITS_OF_PART] for sha256 in content)])
    _clear(other for other in store.glob(f"{name}-*") if other != folder)
    return _used(folder)


def _used(folder: Path) -> Path:
    """Make a folder if it is missing, and note that it is used now."""
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    return folder


def _clear(folders: Iterable[Path]) -> None:
    """Remove folders of finished work after an hour without use, and those of unfinished work after a week."""
    for folder in folders:
        is_finished = any((folder / name).exists() for name in (COMPLETE, DONE))
        with suppress(FileNotFoundError):  # another process removes or renews its files
            last = max(file.stat().st_mtime for file in (folder, *folder.rglob("*")))
            if time.time() - last > (FINISHED_SECONDS if is_finished else UNFINISHED_SECONDS):
                shutil.rmtree(folder, ignore_errors=True)


def mark_complete(store: Path, fingerprint: str, *, request: str) -> None:
    """Note that the outputs of a request are written; a larger request may still use the folder."""
    (store / fingerprint[:DIGITS] / COMPLETE).write_text(request)

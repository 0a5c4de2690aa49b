"""Outputs and records of DVC's run-cache, moved between the cache of a machine and the default remote of its DVC.

DVC itself moves the whole run-cache or none of it; a job needs one record. The two functions of DVC that name a record
are private.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import dvc.fs
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage import Stage
from dvc.stage.cache import _get_cache_hash, _get_stage_hash

from touchstone.errors import TouchstoneError, one_line

RUNS = "runs"  # the folder of the run-cache, in DVC's cache and on a remote


def fetch(repo: Repo, stages: Iterable[Stage]) -> None:
    """Fetch the outputs of stages into DVC's cache. Raises TouchstoneError on what the remote does not have."""
    _pull(repo, _objects(stages))


def push(repo: Repo, stages: Iterable[Stage]) -> None:
    """Push the outputs of stages that are in DVC's cache. Raises TouchstoneError where the remote takes none."""
    _push(repo, _objects(stages))


def take_result(repo: Repo, stage: Stage) -> None:
    """Fetch the result of a stage whose inputs are there, so that it is not run again, if the remote has all of it."""
    stage.save_deps()
    _take_record(repo, _get_stage_hash(stage))
    if cached := repo.stage_cache._load(stage):
        with suppress(DvcException, TouchstoneError):  # a record without its data: the stage runs
            fetch(repo, [repo.stage_cache._create_stage(cached, wdir=stage.wdir)])


def fetch_result(repo: Repo, entry: dict[str, Any]) -> None:
    """Fetch all outputs of a finished stage, by its entry in dvc.lock, and its record in the run-cache.

    Raises TouchstoneError on what the remote does not have.
    """
    key, _ = _names(entry)
    _take_record(repo, key)
    _pull(repo, _recorded(repo, entry))


def send_result(repo: Repo, entry: dict[str, Any]) -> None:
    """Push all outputs of a finished stage, also those that DVC leaves to git, and then its record in the run-cache.

    Raises TouchstoneError where the remote takes none.
    """
    _push(repo, _recorded(repo, entry))
    here, there = repo.cache.legacy, _store(repo)
    key, value = _names(entry)
    dvc.fs.generic.copy(here.fs, _record(here, key, value), there.fs, _record(there, key, value))


def _names(entry: dict[str, Any]) -> tuple[str, str]:
    """The folder and the file in which the run-cache has the record of a stage."""
    return _get_cache_hash(dict(entry), key=True), _get_cache_hash(dict(entry))


def _take_record(repo: Repo, key: str) -> None:
    here, there = repo.cache.legacy, _store(repo)
    folder = _record(there, key)
    for file in there.fs.find(folder) if there.fs.exists(folder) else ():
        dvc.fs.generic.copy(there.fs, file, here.fs, _record(here, key, there.fs.name(file)))


def _store(repo: Repo) -> Any:
    """The remote, as the run-cache sees it."""
    return repo.cloud.get_remote_odb(hash_name="md5-dos2unix")


def _record(store: Any, key: str, *value: str) -> str:
    path: str = store.fs.join(store.path, RUNS, key[:2], key, *value)
    return path


def _recorded(repo: Repo, entry: dict[str, Any]) -> set[Any]:
    """All outputs of a stage, by its record in the run-cache."""
    return {found for of in repo.stage_cache.get_used_objs([_names(entry)]).values() for found in of}


def _objects(stages: Iterable[Stage]) -> set[Any]:
    return {found for stage in stages for of in stage.get_used_objs().values() for found in of}


def _pull(repo: Repo, objects: set[Any]) -> None:
    _move(repo, repo.cloud.pull, objects)
    caches = {"md5-dos2unix": repo.cache.legacy}
    lost = sum(not caches.get(found.name, repo.cache.local).exists(found.value) for found in objects)
    if lost:  # DVC itself only warns
        raise TouchstoneError(f"{_name(repo)}: {lost} of {len(objects)} files are not there")


def _push(repo: Repo, objects: set[Any]) -> None:
    _move(repo, repo.cloud.push, objects)


def _move(repo: Repo, move: Callable[..., Any], objects: set[Any]) -> None:
    try:
        failed = move(objects).failed if objects else ()
    except (DvcException, OSError) as error:
        raise TouchstoneError(f"{_name(repo)}: {one_line(error)}") from error
    if failed:
        raise TouchstoneError(f"{_name(repo)}: {len(failed)} of {len(objects)} files could not be moved")


def _name(repo: Repo) -> str:
    return f"DVC's remote {repo.config['core']['remote']}"

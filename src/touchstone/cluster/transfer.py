"""Outputs and records of DVC's run-cache, moved between the cache of a machine and the default remote of its DVC.

DVC itself moves the whole run-cache or none of it; a job needs one record. The functions of DVC that name a record and
say whether a stage can have one are private.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import dvc.fs
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage import Stage
from dvc.stage.cache import _can_hash, _get_cache_hash, _get_stage_hash

from touchstone.errors import TouchstoneError, one_line
from touchstone.studies.path_set import PathSet

RUNS = "runs"  # the folder of the run-cache, in DVC's cache and on a remote


def staying(graph: Mapping[str, Stage]) -> set[str]:
    """Return the stages whose outputs no job reads: those that only stages of the head read, such as the raw images.

    Stages whose outputs persist run at the head. All other outputs may be read by any stage after them, as a stage may
    read more than its own dependencies, such as what one of them names. graph: all stages by name.
    """
    deps = [(dep.fs_path, _persists(reader)) for reader in graph.values() for dep in reader.deps]
    found = set()
    for name, stage in graph.items():
        outs = PathSet(out.fs_path for out in stage.outs if _persists(stage))
        readers = [persists for dep, persists in deps if outs.overlaps(dep)]
        if readers and all(readers):
            found.add(name)
    return found


def _persists(stage: Stage) -> bool:
    return any(out.persist for out in stage.outs)


def fetch(repo: Repo, stages: Iterable[Stage]) -> None:
    """Fetch the outputs of stages into DVC's cache. Raises TouchstoneError on what the remote does not have."""
    stages = list(stages)
    _pull(repo, _lists(stages))  # first: without them, DVC would ask on a terminal whether to go on
    _pull(repo, _objects(stages))


def push(repo: Repo, stages: Iterable[Stage]) -> None:
    """Push the outputs of stages that are in DVC's cache.

    Raises TouchstoneError where the remote takes none, or they are not in the cache.
    """
    stages = list(stages)
    _check(repo, _lists(stages), "DVC's cache")
    _move(repo, repo.cloud.push, _objects(stages))


def take_result(repo: Repo, stage: Stage) -> None:
    """Fetch the result of a stage whose inputs are there, so that it is not run again, if the remote has all of it.

    Raises TouchstoneError on a stage of which DVC keeps no result, as its output could not come back.
    """
    stage.save_deps()
    if not _can_hash(stage):
        raise TouchstoneError(
            "DVC's run-cache keeps no result of this stage, so it cannot come over a remote; it needs a command, "
            "dependencies and outputs in the project, and no always_changed"
        )
    _take_records(repo, _get_stage_hash(stage))
    if cached := repo.stage_cache._load(stage):
        with suppress(DvcException, TouchstoneError):  # a record without its data: the stage runs
            fetch(repo, [repo.stage_cache._create_stage(cached, wdir=stage.wdir)])


def fetch_result(repo: Repo, entry: dict[str, Any]) -> None:
    """Fetch all outputs of a finished stage, by its entry in dvc.lock, and its record in the run-cache.

    Raises TouchstoneError on what the remote does not have.
    """
    with _in_one_line(repo):
        here, there = repo.cache.legacy, _store(repo)
        dvc.fs.generic.copy(there.fs, _record(there, *_names(entry)), here.fs, _record(here, *_names(entry)))
    fetch(repo, [_recorded(repo, entry)])


def send_result(repo: Repo, entry: dict[str, Any]) -> None:
    """Push all outputs of a finished stage, also those that DVC leaves to git, and then its record in the run-cache.

    Raises TouchstoneError where the remote takes none, or the cache has not all of them.
    """
    push(repo, [_recorded(repo, entry)])
    with _in_one_line(repo):
        here, there = repo.cache.legacy, _store(repo)
        dvc.fs.generic.copy(here.fs, _record(here, *_names(entry)), there.fs, _record(there, *_names(entry)))


def has_result(repo: Repo, entry: dict[str, Any]) -> bool:
    """Whether the cache has all outputs of a stage and its record in the run-cache, by its entry in dvc.lock."""
    here = repo.cache.legacy
    if not here.fs.exists(_record(here, *_names(entry))):
        return False
    stage = _recorded(repo, entry)
    return not any(out.changed_cache() for out in stage.outs)


def _names(entry: dict[str, Any]) -> tuple[str, str]:
    """The folder and the file in which the run-cache has the record of a stage."""
    return _get_cache_hash(dict(entry), key=True), _get_cache_hash(dict(entry))


def _recorded(repo: Repo, entry: dict[str, Any]) -> Stage:
    """The stage with all outputs as its entry in dvc.lock has them, also those that DVC leaves to git."""
    return repo.stage_cache._create_stage(entry)


def _take_records(repo: Repo, key: str) -> None:
    with _in_one_line(repo):
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


def _lists(stages: Iterable[Stage]) -> set[Any]:
    """The lists of files of the outputs that are folders."""
    outs = (out for stage in stages for out in stage.outs)
    return {out.hash_info for out in outs if out.use_cache and out.hash_info and out.is_dir_checksum}


def _objects(stages: Iterable[Stage]) -> set[Any]:
    return {found for stage in stages for of in stage.get_used_objs().values() for found in of}


def _pull(repo: Repo, objects: set[Any]) -> None:
    _move(repo, repo.cloud.pull, objects)
    _check(repo, objects, _name(repo))  # DVC itself only warns


def _check(repo: Repo, objects: set[Any], where: str) -> None:
    caches = {"md5-dos2unix": repo.cache.legacy}
    lost = sum(not caches.get(found.name, repo.cache.local).exists(found.value) for found in objects)
    if lost:
        raise TouchstoneError(f"{where}: {lost} of {len(objects)} files are not there")


def _move(repo: Repo, move: Callable[..., Any], objects: set[Any]) -> None:
    with _in_one_line(repo):
        failed = move(objects).failed if objects else ()
    if failed:
        raise TouchstoneError(f"{_name(repo)}: {len(failed)} of {len(objects)} files could not be moved")


@contextmanager
def _in_one_line(repo: Repo) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # libraries of remotes raise errors of their own
        raise TouchstoneError(f"{_name(repo)}: {one_line(error)}") from error


def _name(repo: Repo) -> str:
    return f"DVC's remote {repo.config['core']['remote']}"

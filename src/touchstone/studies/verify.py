"""Compare the outputs on disk with dvc.lock by hashing every byte again; DVC itself trusts its earlier hashes.

DVC's cache holds the list of a folder's files under the folder's hash.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo

from touchstone.config.leftovers import remembered
from touchstone.errors import TouchstoneError, one_line
from touchstone.studies.commands import locked_outputs
from touchstone.studies.hashes import file_hash, files_in, folder_hash

DAMAGED, MISSING, ADDED = "damaged", "missing", "added"


@dataclass(frozen=True)
class Fault:
    """A path that differs from dvc.lock."""

    path: Path
    stage: str
    """The stage whose output it is, or is part of."""
    kind: str
    """DAMAGED, MISSING, or ADDED to a folder that should not hold it."""


@dataclass(frozen=True)
class Verified:
    """Result of hashing all outputs: how many, in how many files, their size, what differs, and what no stage makes."""

    num_outs: int
    num_files: int
    num_bytes: int
    faults: tuple[Fault, ...]
    leftovers: tuple[Path, ...]


def verify(root: Path, cache: Path) -> Verified:
    """Hash all outputs that `root`/dvc.lock lists, but for those of stages that are gone from dvc.yaml.

    Those, where they still lie there, and whatever else lies beside outputs of matrix stages, are leftovers: no fault,
    but a stage that reads the whole folder takes them for inputs.

    cache: DVC's cache, which holds the lists of folders.

    Raises TouchstoneError where dvc.lock is missing, or DVC cannot read it, dvc.yaml or params.yaml.
    """
    locked = locked_outputs(root)
    try:
        with Repo(str(root)) as repo:
            stages = {getattr(stage, "name", None) for stage in repo.index.stages}
            left = tuple(sorted(_leftovers(repo, {name for _, name, _ in locked} | remembered(root))))
    except DvcException as error:  # with marks of a merge in params.yaml, say
        raise TouchstoneError(f"{root}: {one_line(error)}") from error
    outputs = [output for output in locked if output[0] in stages]  # DVC keeps entries of stages that are gone
    faults, files = list[Fault](), list[Path]()
    for stage, name, md5 in outputs:
        path = root / name
        if md5.endswith(".dir"):
            inside = files_in(path)
            files += inside
            faults += [Fault(wrong, stage, kind) for wrong, kind in _folder_faults(path, inside, md5, cache)]
        elif not path.is_file():
            faults.append(Fault(path, stage, MISSING))
        else:
            files.append(path)
            faults += [] if file_hash(path) == md5 else [Fault(path, stage, DAMAGED)]
    return Verified(len(outputs), len(files), sum(file.stat().st_size for file in files), tuple(faults), left)


def _leftovers(repo: Repo, made: set[str]) -> Iterator[Path]:
    """Yield what no stage makes: of the outputs `made` before, and of what lies beside those of matrix stages."""
    root, outs = Path(repo.root_dir), {Path(out.fs_path) for out in repo.index.outs}
    above = {folder for out in outs for folder in out.parents}
    matrix = [stage for stage in repo.index.stages if "@" in (getattr(stage, "name", None) or "")]
    beside = {Path(out.fs_path).parent for stage in matrix for out in stage.outs}
    found = {path for folder in beside if folder.is_dir() for path in folder.iterdir() if path.name[0] != "."}
    for path in found | {root / name for name in made}:
        if path.exists() and path not in outs | above and outs.isdisjoint(path.parents):
            yield path.relative_to(root)


def _folder_faults(folder: Path, files: list[Path], md5: str, cache: Path) -> Iterator[tuple[Path, str]]:
    """Yield what is wrong in a folder: file by file where the cache has its list, else the folder as a whole."""
    if not folder.is_dir():
        yield folder, MISSING
        return
    actual = {file.relative_to(folder).as_posix(): file_hash(file) for file in files}
    if folder_hash(actual) == md5:
        return
    expected = _cached_list(cache, md5)
    if expected is None:
        yield folder, DAMAGED
        return
    for name in sorted(expected.keys() | actual.keys()):
        if expected.get(name) != actual.get(name):
            yield folder / name, MISSING if name not in actual else ADDED if name not in expected else DAMAGED


def _cached_list(cache: Path, md5: str) -> dict[str, str] | None:
    """name -> md5 of a folder's files; None where the cache does not hold the list, or holds a damaged one."""
    try:
        content = (cache / "files/md5" / md5[:2] / md5[2:]).read_bytes()
        files = {entry["relpath"]: entry["md5"] for entry in json.loads(content)}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return files if folder_hash(files) == md5 else None

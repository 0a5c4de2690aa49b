"""Compare the outputs on disk with dvc.lock by hashing every byte again; DVC itself trusts its earlier hashes.

DVC's hash of a folder is the md5 of a JSON list of its files' names and md5s. The cache holds that list under the hash.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dvc.repo import Repo

from touchstone.studies.commands import locked_outputs

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
    """How many outputs and files were hashed, their size, and what differs."""

    num_outs: int
    num_files: int
    num_bytes: int
    faults: tuple[Fault, ...]


def verify(root: Path, cache: Path) -> Verified:
    """Hash all outputs that `root`/dvc.lock lists, but for those of stages that are gone from dvc.yaml.

    cache: DVC's cache, which holds the lists of folders.

    Raises TouchstoneError where dvc.lock is missing or cannot be read.
    """
    locked = locked_outputs(root)
    with Repo(str(root)) as repo:
        stages = {getattr(stage, "name", None) for stage in repo.index.stages}
    outputs = [output for output in locked if output[0] in stages]  # DVC keeps entries of stages that are gone
    faults, files = list[Fault](), list[Path]()
    for stage, name, md5 in outputs:
        path = root / name
        if md5.endswith(".dir"):
            inside = [inner for inner in sorted(path.rglob("*")) if inner.is_file()]
            files += inside
            faults += [Fault(wrong, stage, kind) for wrong, kind in _folder_faults(path, inside, md5, cache)]
        elif not path.is_file():
            faults.append(Fault(path, stage, MISSING))
        else:
            files.append(path)
            faults += [] if _md5(path) == md5 else [Fault(path, stage, DAMAGED)]
    return Verified(len(outputs), len(files), sum(file.stat().st_size for file in files), tuple(faults))


def _folder_faults(folder: Path, files: list[Path], md5: str, cache: Path) -> Iterator[tuple[Path, str]]:
    """Yield what is wrong in a folder: file by file where the cache has its list, else the folder as a whole."""
    if not folder.is_dir():
        yield folder, MISSING
        return
    actual = {file.relative_to(folder).as_posix(): _md5(file) for file in files}
    if _folder_md5(actual) == md5:
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
    return files if _folder_md5(files) == md5 else None


def _folder_md5(files: dict[str, str]) -> str:
    """DVC's hash of a folder from name -> md5 of its files."""
    entries = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return hashlib.md5(json.dumps(entries).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _md5(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

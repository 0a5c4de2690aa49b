"""Are the outputs what dvc.lock says? Every byte is hashed again: DVC itself trusts what it hashed before.

DVC's hash of a folder is the md5 of a JSON list of its files' names and md5s, which lies in the cache under that hash.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from touchstone.errors import TouchstoneError

DAMAGED, MISSING, ADDED = "damaged", "missing", "not of it"


@dataclass(frozen=True)
class Fault:
    """A path that is not as dvc.lock has it, and how: damaged, missing, or in a folder that is to hold no such file."""

    path: Path
    stage: str
    how: str


@dataclass(frozen=True)
class Verified:
    """How many outs and files were looked at, how many bytes they have, and what is wrong with them."""

    num_outs: int
    num_files: int
    num_bytes: int
    faults: tuple[Fault, ...]


def verify(root: Path, cache: Path) -> Verified:
    """Hash all outs that `root`/dvc.lock names. cache: DVC's cache, where it lists the files of folders.

    Raises TouchstoneError where dvc.lock is missing or not one.
    """
    outs = _outs(root / "dvc.lock")
    faults, files = list[Fault](), list[Path]()
    for stage, name, md5 in outs:
        path = root / name
        if md5.endswith(".dir"):
            files += [file for file in sorted(path.rglob("*")) if file.is_file()]
            faults += [Fault(bad, stage, how) for bad, how in _folder(path, md5, cache)]
        elif not path.is_file():
            faults.append(Fault(path, stage, MISSING))
        else:
            files.append(path)
            faults += [] if _md5(path) == md5 else [Fault(path, stage, DAMAGED)]
    return Verified(len(outs), len(files), sum(file.stat().st_size for file in files), tuple(faults))


def _outs(lock: Path) -> list[tuple[str, str, str]]:
    """(stage, path, md5) of each out."""
    try:
        stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
        return [(name, out["path"], out["md5"]) for name, stage in stages.items() for out in stage.get("outs", [])]
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise TouchstoneError(f"{lock}: not readable ({reason}); `git checkout` it, or run `dvc repro`") from error


def _folder(path: Path, md5: str, cache: Path) -> Iterator[tuple[Path, str]]:
    """What is wrong in a folder, file by file where the cache knows its files, else as a whole."""
    if not path.is_dir():
        yield path, MISSING
        return
    there = {file.relative_to(path).as_posix(): _md5(file) for file in sorted(path.rglob("*")) if file.is_file()}
    if _hash_of(there) == md5:
        return
    known = _listed(cache, md5)
    if known is None:
        yield path, DAMAGED
        return
    for name in sorted(known.keys() | there.keys()):
        if known.get(name) != there.get(name):
            yield path / name, MISSING if name not in there else ADDED if name not in known else DAMAGED


def _listed(cache: Path, md5: str) -> dict[str, str] | None:
    """name -> md5 of a folder's files; None where the cache does not know it, or no longer rightly."""
    try:
        content = (cache / "files/md5" / md5[:2] / md5[2:]).read_bytes()
        known = {entry["relpath"]: entry["md5"] for entry in json.loads(content)}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return known if _hash_of(known) == md5 else None


def _hash_of(files: dict[str, str]) -> str:
    """DVC's own: of the list in the order of names."""
    entries = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return hashlib.md5(json.dumps(entries).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _md5(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

"""DVC's hashes, computed from every byte. That of a folder is the md5 of a JSON list of its files' names and md5s."""

import hashlib
import json
from pathlib import Path


def hash_of(path: Path) -> str | None:
    """DVC's hash of a file or folder; None where there is none."""
    if path.is_dir():
        return folder_hash({file.relative_to(path).as_posix(): file_hash(file) for file in files_in(path)})
    return file_hash(path) if path.is_file() else None


def files_in(folder: Path) -> list[Path]:
    """All files below a folder, sorted."""
    return [inner for inner in sorted(folder.rglob("*")) if inner.is_file()]


def folder_hash(files: dict[str, str]) -> str:
    """The hash of a folder from name -> md5 of its files."""
    entries = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return hashlib.md5(json.dumps(entries).encode(), usedforsecurity=False).hexdigest() + ".dir"


def file_hash(file: Path) -> str:
    """The md5 of a file."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

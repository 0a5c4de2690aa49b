"""Reads a pipeline's files from a folder, or from a commit on the hub."""

from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """A pipeline's files."""

    revision: str
    """The commit, or "" for a folder."""
    paths: frozenset[str]

    def get(self, path: str) -> Path:
        """Return a local copy of one of `paths`."""


class LocalFolder:
    """The files of a folder."""

    revision = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = (file for file in folder.rglob("*") if file.is_file())
        self.paths = frozenset(file.relative_to(folder).as_posix() for file in files)

    def get(self, path: str) -> Path:
        return self.folder / path


class Flat:
    """A store whose one model and scheduler lie at its top, as early pipelines have them, at their usual places."""

    def __init__(self, store: Store, *, model: str) -> None:
        self.store, self.revision = store, store.revision
        self.top = {
            f"scheduler/{path}" if path.startswith("scheduler") else f"{model}/{path}": path
            for path in store.paths
            if "/" not in path and path.endswith((".json", ".safetensors", ".bin")) and path != "model_index.json"
        }
        self.paths = store.paths | self.top.keys()

    def get(self, path: str) -> Path:
        return self.store.get(self.top.get(path, path))

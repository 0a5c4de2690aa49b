"""Where a pipeline's files come from: a folder, or a commit on the hub."""

import os
from pathlib import Path
from typing import Protocol

from touchstone.errors import TouchstoneError, one_line

REMEDY = "check the address and the network, or download the pipeline elsewhere and name its folder"


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


class Hub:
    """The files of a commit, listed at once and fetched when they are asked for. HF_ENDPOINT and HF_TOKEN count.

    `key` opens messages. Raises TouchstoneError where the repository or the commit is missing, gated, or not the one
    asked for.
    """

    def __init__(self, key: str, repository: str, revision: str, *, downloads: Path) -> None:
        from huggingface_hub import HfApi

        self.key, self.repository, self.revision, self.downloads = key, repository, revision, downloads
        self.api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
        try:
            info = self.api.model_info(repository, revision=revision, timeout=60)
        except Exception as error:
            raise self._explained(error) from error
        if info.sha != revision:
            raise TouchstoneError(
                f"{key}: the hub answers with commit {info.sha} for {revision}: the revision has moved; name "
                "another one"
            )
        self.paths = frozenset(file.rfilename for file in info.siblings or ())

    def get(self, path: str) -> Path:
        folder = self.downloads / f"{self.repository.replace('/', '--')}-{self.revision[:16]}"
        try:
            return Path(
                self.api.hf_hub_download(self.repository, path, revision=self.revision, local_dir=folder.as_posix())
            )
        except Exception as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> TouchstoneError:
        """Return what the hub's error says, in one line. It does not tell what is missing from what is private."""
        from huggingface_hub import errors

        what = f"{self.key}: {self.repository}"
        if isinstance(error, errors.GatedRepoError):
            return TouchstoneError(
                f"{what}: gated: accept its conditions on its page, and set HF_TOKEN to a token of that account"
            )
        if isinstance(error, errors.RevisionNotFoundError):
            return TouchstoneError(f"{what}: no commit {self.revision} any more, or never; name another one")
        if isinstance(error, errors.RepositoryNotFoundError):
            return TouchstoneError(f"{what}: no such repository, or a private one; check its name, or set HF_TOKEN")
        return TouchstoneError(f"{what}: cannot be fetched ({one_line(error)[:200]}); {REMEDY}")

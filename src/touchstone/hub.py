"""Fetches pretrained files at a commit of Hugging Face's hub."""

import os
from pathlib import Path

from touchstone.errors import TouchstoneError, one_line

REMEDY = "check the address and the network, or download the files elsewhere and name their folder"


class Hub:
    """The files of a commit, listed at once and fetched when they are asked for. HF_ENDPOINT and HF_TOKEN count.

    With revision "", it is the newest commit, which is then `revision`. `key` opens messages.

    Raises TouchstoneError where the repository or the commit is missing, gated, or not the one asked for.
    """

    def __init__(self, key: str, repository: str, revision: str, *, downloads: Path) -> None:
        from huggingface_hub import HfApi

        self.key, self.repository, self.revision, self.downloads = key, repository, revision, downloads
        self.api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
        try:
            info = self.api.model_info(repository, revision=revision or None, timeout=60)
        except Exception as error:
            raise self._explained(error) from error
        if revision and info.sha != revision:
            raise TouchstoneError(
                f"{key}: the hub answers with commit {info.sha} for {revision}: the revision has moved; name "
                "another one"
            )
        self.revision = str(info.sha)
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

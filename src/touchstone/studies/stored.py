"""The files of a git revision or DVC experiment, as DVC's cache or its remote holds them."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from touchstone.errors import TouchstoneError, one_line
from touchstone.studies.commands import git

T = TypeVar("T")


class Stored:
    """The files of one revision. A revision that does not exist is noticed when the first file is read."""

    def __init__(self, root: Path, revision: str) -> None:
        """root: the folder of dvc.yaml. revision: anything that git or DVC can name, or `workspace`."""
        from dvc.api import DVCFileSystem  # takes a second to import

        for name in ("dvc", "dvc_data", "dvc_objects"):  # they warn about every empty folder
            logging.getLogger(name).setLevel(logging.ERROR)
        self._revision = revision
        # DVC roots a revision at the top of its git repository, of which the project may be a sub-folder.
        self._prefix = "" if revision == "workspace" else _prefix(root)
        rev = None if revision == "workspace" else revision
        self._files = DVCFileSystem(str(root), rev=rev, subrepos=bool(self._prefix))

    def read(self, path: str) -> bytes | None:
        """The content of a file, None where it cannot be had.

        Raise TouchstoneError where there is no such revision or no DVC repository, and where DVC cannot read its files
        or reach its remote.
        """
        return self._tried(lambda: self._files.read_bytes(self._prefix + path))

    def open(self, path: str) -> BinaryIO | None:
        """The same file to read parts of."""
        return self._tried(lambda: self._files.open(self._prefix + path, "rb"))

    def _tried(self, action: Callable[[], T]) -> T | None:
        from dvc.exceptions import DvcException, NotDvcRepoError
        from dvc.scm import RevError, SCMError
        from dvc_data.index import DataIndexDirError

        try:
            return action()
        except (FileNotFoundError, DataIndexDirError):
            return None
        except RevError as error:
            raise TouchstoneError(
                f"{self._revision}: {error}; give a commit, a branch, a tag or an experiment"
            ) from error
        except (NotDvcRepoError, SCMError) as error:
            raise TouchstoneError(f"{error}; run from the folder that holds dvc.yaml") from error
        except (DvcException, ImportError, KeyError) as error:  # of a remote without its library, a damaged dvc.lock
            raise TouchstoneError(f"{self._revision}: {one_line(error)}") from error


def _prefix(root: Path) -> str:
    """The path of the project within its git repository, with a slash at its end; "" at the top and without git."""
    try:
        return git(root, "rev-parse", "--show-prefix").rstrip("\n")
    except TouchstoneError:  # the first file that is read says what is missing
        return ""

"""Functions that read a file each, of a folder or of an archive, whose contents are put aside in a temporary file."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from touchstone.data.archives import members
from touchstone.data.hidden import Aside
from touchstone.errors import TouchstoneError

# Limits of an archive. Its bytes may also take half of the free disk space at most, as they are briefly stored twice.
MAX_FILES = 2_000_000
MAX_BYTES = 200 << 30


class Read(Protocol):
    """A function that reads a file."""

    def __call__(self, *, most: int = -1) -> bytes:
        """Return the file's bytes, or its first `most`."""


def read_bytes(file: Path, *, most: int = -1) -> bytes:
    """Read the file, or its first `most` bytes. Raises TouchstoneError where it cannot be read."""
    try:
        if most < 0:
            return file.read_bytes()
        with file.open("rb") as opened:
            return opened.read(most)
    except OSError as error:
        raise TouchstoneError(f"{file}: cannot be read ({error.strerror}); change its permissions") from error


def archived_files(
    path: Path, spool: BinaryIO, to: Path, *, keep: Callable[[str], bool], aside: Aside
) -> dict[str, Read]:
    """Return posix name -> a function that reads the file, for the visible files of the archive at `path`.

    spool: a temporary file on the disk of the folder `to`, for the contents of the files whose names `keep` accepts;
    only those can be read. aside: notes what was passed over. Raises TouchstoneError on what `members` refuses.
    """
    files: dict[str, Read] = {}
    max_bytes = min(MAX_BYTES, shutil.disk_usage(to).free // 2)
    for name, content in members(path, max_files=MAX_FILES, max_bytes=max_bytes, aside=aside):
        kept = keep(name)
        files[name] = partial(_read_slice, spool, spool.tell(), len(content) if kept else 0)
        if kept:
            spool.write(content)
    return files


def _read_slice(spool: BinaryIO, offset: int, size: int, *, most: int = -1) -> bytes:
    spool.seek(offset)
    return spool.read(size if most < 0 else min(size, most))

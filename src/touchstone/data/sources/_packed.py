"""Reads the files that `pack` stored in `files.zip`, one after another in the order of the manifest.

Where a file begins follows from the names and sizes in the manifest, so the archive's own directory, which zipfile
would hold in memory as objects, need not be read. The header before each file confirms it.
"""

import struct
import threading
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from touchstone.errors import TouchstoneError

HEADER = struct.Struct("<4s5H3I2H")  # APPNOTE.TXT 4.3.7, local file header
SIGNATURE = b"PK\x03\x04"
ZIP64_EXTRA = 20  # bytes that zipfile adds to the header of a very large file


class Packed:
    """The files of an archive that `pack` wrote."""

    def __init__(self, archive: Path, names: Sequence[str], num_bytes: Sequence[int]) -> None:
        """names, num_bytes: of all files, in the order in which they were packed."""
        self._archive = archive
        self._num_bytes = np.asarray(num_bytes, np.int64)
        extra = np.where(self._num_bytes * 1.05 > zipfile.ZIP64_LIMIT, ZIP64_EXTRA, 0)
        self._head_bytes = np.array([HEADER.size + len(name.encode()) for name in names], np.int64) + extra
        self._start = np.cumsum(self._head_bytes + self._num_bytes) - self._head_bytes - self._num_bytes
        self._opened = threading.local()  # a file for each thread, so threads do not wait for one another

    def read(self, index: int, name: str) -> bytes:
        """Return the content of a file. Raises TouchstoneError where the archive is not what `pack` wrote."""
        try:
            if not hasattr(self._opened, "file"):
                self._opened.file = self._archive.open("rb")
            self._opened.file.seek(self._start[index])
            head = self._opened.file.read(self._head_bytes[index])
            content = self._opened.file.read(self._num_bytes[index])
        except OSError as error:
            raise self._damaged(str(error)) from error
        signature, *_, crc, _, _, _, _ = HEADER.unpack(head.ljust(HEADER.size, b"\0")[: HEADER.size])
        if signature != SIGNATURE or not head[HEADER.size :].startswith(name.encode()):
            raise self._damaged(f"{name} is not where it was packed")
        if zlib.crc32(content) != crc:
            raise self._damaged(f"{name} has another checksum")
        return content

    def _damaged(self, reason: str) -> TouchstoneError:
        return TouchstoneError(f"{self._archive}: damaged ({reason}); run `dvc repro --force download`")

"""A lock that one process at a time holds, for work in a folder that two must not do at once."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from touchstone.errors import TouchstoneError


@contextmanager
def alone(file: Path, *, refusal: str) -> Iterator[int]:
    """Hold the lock of a file, which is made, and yield its descriptor. Children that inherit it hold the lock, too.

    Raises TouchstoneError: `refusal` where another process holds the lock, and where the file system has no locks.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "w") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TouchstoneError(refusal) from None
        except OSError as error:
            raise TouchstoneError(
                f"{file}: cannot be locked ({error.strerror}); put the project on a file system that has file locks"
            ) from error
        yield opened.fileno()

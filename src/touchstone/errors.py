"""Errors that a user can correct, each explained in one line."""

import difflib
import errno
import sys
from collections.abc import Callable, Iterable

OF_THE_SYSTEM = {
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG),
    *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR),
}
"""Errors of files that are no fault of the program: no permission, no room, a file where a folder is to be."""


NOT_DETERMINISTIC = "does not have a deterministic implementation"  # torch's words, behind the operation's name


class TouchstoneError(Exception):
    """Bad input. The message is one line: what was found, what was expected, and what to do about it."""


class BadImage(TouchstoneError):
    """An image that cannot be decoded. The message is the reason alone, without the file's name."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return `; did you mean x?` with the choice that resembles `name` most, or "" where none does."""
    matches = difflib.get_close_matches(name, sorted(choices), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]}?" if matches else ""


def one_line(error: Exception) -> str:
    """Return the error's message in one line, or the name of its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def run(main: Callable[[], None]) -> None:
    """Run a stage or a command. A `TouchstoneError` becomes one line on stderr and exit code 1.

    So do an OSError that is OF_THE_SYSTEM, and what torch says where a GPU cannot compute deterministically.
    """
    try:
        main()
    except TouchstoneError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except RuntimeError as error:
        if NOT_DETERMINISTIC not in str(error):
            raise
        operation = str(error).partition(NOT_DETERMINISTIC)[0].strip()
        print(
            f"error: {operation} gives other bytes each time on a GPU; in train, set deterministic: false",
            file=sys.stderr,
        )
        sys.exit(1)
    except OSError as error:
        if error.errno not in OF_THE_SYSTEM:
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror}", file=sys.stderr)
        sys.exit(1)

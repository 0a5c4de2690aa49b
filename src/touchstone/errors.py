"""What the user did, said in one line."""

import difflib
import sys
from collections.abc import Callable, Iterable


class TouchstoneError(Exception):
    """Bad input. The message is one line: what was got, what was expected, what to do about it."""


class BadImage(TouchstoneError):
    """One image that cannot be decoded; the message is the reason, without the file's name."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean x?` for the known name that resembles `name` most, or nothing."""
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""


def run(main: Callable[[], None]) -> None:
    """Run a stage or command: a `TouchstoneError` becomes one line on stderr and exit code 1."""
    try:
        main()
    except TouchstoneError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)

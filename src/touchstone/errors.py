"""Errors that a user can correct, each explained in one line."""

import difflib
import sys
from collections.abc import Callable, Iterable


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
    """Run a stage or a command. A `TouchstoneError` becomes one line on stderr and exit code 1."""
    try:
        main()
    except TouchstoneError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)

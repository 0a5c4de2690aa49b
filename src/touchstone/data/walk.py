"""Walks a user's folder: its visible files and folders, links followed, circles of links refused."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from touchstone.data.hidden import Aside, hidden
from touchstone.errors import TouchstoneError


class Entry(NamedTuple):
    """A visible file or folder."""

    name: str
    """Its posix path below the folder that is walked."""
    path: Path
    is_folder: bool


def walk(root: Path, *, aside: Aside | None = None, odd: Callable[[str, str], None] | None = None) -> Iterator[Entry]:
    """Yield the visible files and folders below `root`, each folder before what it holds, sorted by name.

    Links are followed, wherever they lead. aside: notes what was passed over. odd: called with the name of an entry
    that cannot be read and the reason. Raises TouchstoneError without `odd` on a link that leads nowhere or to a folder
    that holds it, on what is neither a file nor a folder, and always on a folder that cannot be listed.
    """
    yield from _walk(root, "", (root.resolve(),), root, aside or Aside(), odd)


def _walk(
    folder: Path,
    prefix: str,
    chain: tuple[Path, ...],
    root: Path,
    aside: Aside,
    odd: Callable[[str, str], None] | None,
) -> Iterator[Entry]:
    """chain: the real paths of the folders around, that of `folder` last."""
    try:
        entries = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise TouchstoneError(f"{root}: {folder} cannot be read ({error.strerror}); change its permissions") from error
    for entry in entries:
        path, name = folder / entry, prefix + entry
        if hidden(entry):
            _pass_over(path, name, aside)
            continue
        link = path.is_symlink()
        mode, reason = _mode(path, chain, link=link)
        if reason:
            if odd is None:
                raise TouchstoneError(f"{root}: {name} {reason}")
            odd(name, reason)
            continue
        yield Entry(name, path, stat.S_ISDIR(mode))
        if stat.S_ISDIR(mode):
            if link:
                aside.linked.append(name)
            yield from _walk(
                path, f"{name}/", (*chain, path.resolve() if link else chain[-1] / path.name), root, aside, odd
            )


def _mode(path: Path, chain: tuple[Path, ...], *, link: bool) -> tuple[int, str]:
    """Return the mode of what lies at the path, and why it cannot be read, or ""."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if not link:
            return 0, f"cannot be read ({error.strerror}); change its permissions"
        return (
            0,
            f"is a link to {os.readlink(path)}, where there is nothing to read ({error.strerror}); mend or remove it",
        )
    if link and stat.S_ISDIR(mode):
        target = path.resolve()
        if any(around.is_relative_to(target) for around in chain):
            return mode, f"is a link to {os.readlink(path)}, a folder that holds the link; remove it"
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        return mode, "is neither a file nor a folder; remove it"
    return mode, ""


def _pass_over(path: Path, name: str, aside: Aside) -> None:
    """Note the images of a hidden folder, without following links."""
    for folder, _, files in os.walk(path):
        inner = Path(folder).relative_to(path).as_posix()
        for file in files:
            aside.skip(f"{name}/{file}" if inner == "." else f"{name}/{inner}/{file}")


def check_names(root: Path) -> None:
    """Raise TouchstoneError at the first visible name below `root` that is not UTF-8, which DVC cannot hash.

    An archive has its names checked when it is read.
    """
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not hidden(name)]
        for name in sorted((*folders, *files)):
            if any("\udc80" <= char <= "\udcff" for char in name):
                where = Path(folder).relative_to(root).as_posix()
                shown = os.fsencode(name if where == "." else f"{where}/{name}").decode("utf-8", "backslashreplace")
                raise TouchstoneError(
                    f"{root}: the name {shown} is not UTF-8; rename it, as by `convmv` from its encoding"
                )

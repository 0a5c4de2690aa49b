"""Finds the image that a cell of a table names, also where it does not name it to the letter."""

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from touchstone.data.decode import image_suffixes
from touchstone.errors import TouchstoneError

Key = tuple[str, str]
"""A way in which a cell may name an image, and what it then says: ("stem", "0001")."""


class Finder:
    """Finds images by their names, and counts those that are named in another way."""

    def __init__(self, images: Iterable[str], *, root: str) -> None:
        """Search among some images; root: what a whole path is relative to, for messages."""
        self.images = set(images)
        self._root = root
        self._other: dict[str, dict[str, list[str]]] = {}
        self._count = 0
        self._example = "", ""

    def find(self, cell: str, names: Iterable[str], keys: Sequence[Key], where: str) -> str:
        """Return the image that a cell names; "" where none fits.

        names: what the cell may say to the letter. keys: other ways in which it may be meant, the closest first. Raises
        TouchstoneError where several images fit.
        """
        if exact := next((name for name in names if name in self.images), ""):
            return exact
        for kind, key in keys:
            found = self._by_key(kind).get(key, [])
            if len(found) > 1:
                several = " or ".join(sorted(found)[:3])
                raise TouchstoneError(f"{where}: {cell!r} may be {several}; write its path from {self._root}")
            if found:
                self._count += 1
                self._example = self._example if self._example[0] else (cell, found[0])
                return found[0]
        return ""

    def notes(self) -> list[str]:
        """Return a note on the cells that do not name their image to the letter."""
        if not self._count:
            return []
        cell, image = self._example
        return [f"files that are named in another way: {self._count}; {cell!r} was read as {image}"]

    def _by_key(self, kind: str) -> dict[str, list[str]]:
        if kind not in self._other:
            table: dict[str, list[str]] = {}
            for image in self.images:
                for other, key in keys_of_path(image) + keys_of_name(image):
                    if other == kind:
                        table.setdefault(key, []).append(image)
            self._other[kind] = table
        return self._other[kind]


def keys_of_path(path: str) -> list[Key]:
    """Return the keys of a path as a whole: in any case, then without its suffix."""
    return [("path", path.casefold()), ("stem of path", _stem(path).casefold())]


def keys_of_name(path: str) -> list[Key]:
    """Return the keys of a path's last part: to the letter, in any case, then without its suffix."""
    base = PurePosixPath(path).name
    return [("name", base), ("name in any case", base.casefold()), ("stem", _stem(base).casefold())]


def _stem(path: str) -> str:
    """Return the path without the suffix of an image."""
    base, dot, suffix = path.rpartition(".")
    return base if dot and f".{suffix.lower()}" in image_suffixes() else path

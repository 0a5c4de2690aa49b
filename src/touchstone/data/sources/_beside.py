"""Finds the image files that the rows of tables name, relative to their table or to `source.path`."""

import posixpath
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from touchstone.data.archives import is_archive
from touchstone.data.sources._finder import Finder, keys_of_path
from touchstone.data.sources._tables import text
from touchstone.errors import TouchstoneError, nearest


class Beside:
    """The images beside the tables under `source.path`."""

    def __init__(self, images: Iterable[str], path: Path) -> None:
        """Search among some images, whose names are relative to `path`."""
        self._finder = Finder(images, root="source.path")
        self._path = path

    def find(self, cell: Any, table: str, where: str) -> str:
        """Return the image that a cell of a table names, perhaps in another case, with backslashes or without a suffix.

        table: the table's own name. Raises TouchstoneError where no image fits, or several, and on a path elsewhere.
        """
        got = text(cell)
        if "://" in got:
            raise TouchstoneError(f"{where}: {got} is an address, expected a file; download the images first")
        name = unicodedata.normalize("NFC", got)  # as the images' names are
        places = self._places(name.replace("\\", "/").strip(), table, got, where)
        keys = [key for place in places for key in keys_of_path(place)]
        if found := self._finder.find(got, (*_joined(name, table), *places), keys, where):
            return found
        alone = not (self._path.is_dir() or is_archive(self._path))
        hint = ", as source.path is the table alone; set it to their folder" if alone else ""
        remedy = hint or nearest(name, self._finder.images) + "; correct the name"
        raise TouchstoneError(f"{where}: no image {got!r}{remedy}")

    def notes(self) -> list[str]:
        """Return a note on the cells that do not name their image to the letter."""
        return self._finder.notes()

    def _places(self, name: str, table: str, got: str, where: str) -> list[str]:
        """Return the names that an image may have below `source.path`, the first choice first."""
        if not name.startswith("/"):
            return _joined(name, table)
        absolute = posixpath.normpath(name)
        roots = {self._path.absolute(), self._path.resolve()}
        for root in (unicodedata.normalize("NFC", root.as_posix()) + "/" for root in roots):
            if absolute.startswith(root):
                return [absolute.removeprefix(root)]
        remedy = "move the images there, or set source.path to a folder that holds both"
        raise TouchstoneError(f"{where}: {got} lies outside of source.path, where no change is seen; {remedy}")


def _joined(name: str, table: str) -> list[str]:
    return [posixpath.normpath(posixpath.join(posixpath.dirname(table), name)), posixpath.normpath(name)]

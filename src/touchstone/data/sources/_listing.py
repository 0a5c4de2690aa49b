"""Images as a source's tables or annotations list them, collected and checked before they are packed."""

import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO

from touchstone.data.labels import join, names
from touchstone.data.reading import MAX_BYTES
from touchstone.data.sources._files import RESERVED, Files, pack, refusal
from touchstone.data.splits import UNLABELLED
from touchstone.errors import TouchstoneError


class Listing:
    """The listed images. `add` them, then `pack` them once."""

    def __init__(self, path: Path, to: Path, spool: BinaryIO, *, difficult: bool = False) -> None:
        """Start an empty listing.

        path: `source.path`, for messages. spool: a temporary file in the folder `to`. difficult: whether images may
        have classes that are difficult, so that the manifest gets that column.
        """
        self.path = path
        self.files: Files = {}
        self._rows: dict[str, tuple[str, ...]] = {}
        self._cells: dict[str, dict[str, str]] = {}
        self._difficult = difficult
        self._spool = spool
        self._left = min(MAX_BYTES, shutil.disk_usage(to).free // 2)

    def add(
        self,
        name: str,
        read: Callable[[], bytes],
        *,
        label: str | None,
        split: str,
        where: str,
        difficult: str = "",
        cells: Mapping[str, str] | None = None,
    ) -> None:
        """List an image under a name that is its own.

        label: the classes, joined by `|`; None for an image without a label, which belongs to the unlabelled split.
        where: where it is listed, for messages. cells: other columns, such as patient. Raises TouchstoneError where the
        name is listed before, and on an unlabelled image with a label.
        """
        if name in self.files:
            raise TouchstoneError(f"{where}: {name} is listed twice; list it once, with all its classes")
        if label and split == UNLABELLED:
            raise TouchstoneError(f"{where}: {name} is unlabelled and has the label {label!r}; remove label or split")
        self.files[name] = read
        values = (label or "", UNLABELLED if label is None else split)
        self._rows[name] = (*values, difficult) if self._difficult else values
        self._cells[name] = {key: cell for key, cell in (cells or {}).items() if key not in RESERVED}

    def keep(self, content: bytes) -> Callable[[], bytes]:
        """Put an image's bytes aside and return a function that reads them.

        Raises TouchstoneError where the images take more than half of the free disk space, as they are stored twice.
        """
        self._left -= len(content)
        if self._left < 0:
            raise refusal(self.path, "its images take more than half of the free disk space; free some")
        offset = self._spool.seek(0, os.SEEK_END)
        self._spool.write(content)
        return partial(_slice, self._spool, offset, len(content))

    def pack(self, to: Path) -> None:
        """Write the images and their manifest into the folder `to`.

        Raises TouchstoneError where no image has a label, or all have the same.
        """
        labels = [label for label, split, *_ in self._rows.values() if split != UNLABELLED]
        classes = {name for row in self._rows.values() for name in names(join([*filter(None, (row[0], *row[2:]))]))}
        if not any(labels):
            raise refusal(self.path, "no image has a label, so nothing can be learned; label some")
        if len(classes) < 2 and all(labels):
            raise refusal(self.path, f"every image is {classes.pop()}, so there is nothing to learn; add other images")
        others = list(dict.fromkeys(name for cells in self._cells.values() for name in cells))
        rows = {
            name: (*row, *(self._cells[name].get(other, "") for other in others)) for name, row in self._rows.items()
        }
        columns = ("label", "split", *(("difficult",) if self._difficult else ()), *others)
        pack(self.files, to, labels=rows, columns=columns)


def _slice(spool: BinaryIO, offset: int, size: int) -> bytes:
    spool.seek(offset)
    return spool.read(size)

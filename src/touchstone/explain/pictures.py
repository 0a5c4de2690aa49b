"""Pictures of one's own, which are explained beside the test images: read and prepared as the project's images are."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from touchstone.config.schema.explain import MOST_IMAGES, Explain
from touchstone.data.archives import is_archive
from touchstone.data.as_prepared import Preparation, as_prepared
from touchstone.data.image_files import opened
from touchstone.data.reading import Read, read_bytes
from touchstone.errors import TouchstoneError


@dataclass(frozen=True, eq=False)
class Pictures:
    """Prepared images without labels."""

    files: list[str]
    """Their names within the folder or the archive; of one file, its name."""
    images: list[np.ndarray]
    """Pixels (h, w, C) each."""


def pictures_of(settings: Explain, how: Preparation) -> Pictures | None:
    """Return the pictures that `settings` name, or None where they name none. Raises as `read_pictures` does."""
    return read_pictures(Path(settings.pictures), how) if settings.pictures else None


def read_pictures(path: Path, how: Preparation) -> Pictures:
    """Read the picture at `path`, or all in the folder or the archive there, and prepare them.

    Raises TouchstoneError where there is nothing or no picture, at the first that cannot be read, and where there are
    more than MOST_IMAGES.
    """
    try:
        with _files(path) as (readers, unreadable):
            number = len(readers) + len(unreadable)
            if number > MOST_IMAGES:
                raise TouchstoneError(
                    f"{path}: got {number:,} pictures, expected at most {MOST_IMAGES}; name a folder that holds fewer"
                )
            for name, reason in unreadable.items():
                raise TouchstoneError(f"{path}: {name}: {reason}")
            return Pictures(list(readers), [_prepared(path, name, read, how) for name, read in readers.items()])
    except TouchstoneError as error:
        raise TouchstoneError(f"explain.pictures: {error}") from error


@contextmanager
def _files(path: Path) -> Iterator[tuple[dict[str, Read], dict[str, str]]]:
    """Yield what `opened` does, also for a single picture. Raises TouchstoneError where there is nothing."""
    if not path.exists():
        raise TouchstoneError(f"{path}: no such file or folder; put the pictures there")
    if path.is_file() and not is_archive(path):
        yield {path.name: partial(read_bytes, path)}, {}
        return
    with opened(path) as found:
        yield found


def _prepared(path: Path, name: str, read: Read, how: Preparation) -> np.ndarray:
    """Return the pixels (h, w, C) of a picture. Raises TouchstoneError with its name where it cannot be read."""
    try:
        return as_prepared(read, how)
    except TouchstoneError as error:  # BadImage, or an extra that is not installed
        raise TouchstoneError(f"{path}: {name}: {error}; replace it, or take it out") from error

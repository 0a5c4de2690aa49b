"""The files that `touchstone predict` labels: those in a folder, or in an archive of one without unpacking it."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from touchstone.data.archives import SUFFIXES, is_archive
from touchstone.data.hidden import Aside
from touchstone.data.left_out import pictures
from touchstone.data.reading import Read, archived_files, read_bytes
from touchstone.data.recognise import has_image_suffix, may_be_image, recognised, taken_by_content
from touchstone.data.walk import walk
from touchstone.errors import TouchstoneError


@contextmanager
def opened(path: Path) -> Iterator[tuple[dict[str, Read], dict[str, str]]]:
    """Yield the images in a folder or an archive, name -> a function that reads it, and those that cannot be read.

    Names are posix paths within, sorted; bytes of names that are not UTF-8 are shown as \\xe4. The second table gives
    the reason for each. Images are known by their suffix or their content. What systems leave behind is no image, and
    links are followed. Raises TouchstoneError where `path` is neither, or holds no image that can be read.
    """
    aside, odd = Aside(), dict[str, str]()
    with tempfile.TemporaryFile() as spool:
        if path.is_dir():
            found = walk(path, aside=aside, odd=odd.__setitem__)
            files: dict[str, Read] = {e.name: partial(read_bytes, e.path) for e in found if not e.is_folder}
        elif path.is_file() and is_archive(path):
            files = archived_files(path, spool, Path(tempfile.gettempdir()), keep=may_be_image, aside=aside)
        else:
            got = "got a file" if path.exists() else "no such folder or archive"
            expected = f"a folder of images, or an archive of one ({', '.join(SUFFIXES)})"
            raise TouchstoneError(f"{path}: {got}; give {expected}")
        by_content = set(recognised(files, (), anywhere=True))
        images = {name: read for name, read in files.items() if has_image_suffix(name) or name in by_content}
        lost = {name: reason for name, reason in odd.items() if has_image_suffix(name)}
        _report(path, [*taken_by_content(by_content), *pictures(files.keys() - images.keys(), lambda _: "")])
        _report(path, aside.lines())
        _report(path, [f"left out: {_readable(name)} {odd[name]}" for name in odd.keys() - lost.keys()])
        if not images:
            raise _without_images(path, lost or odd)
        shown = {_readable(name): read for name, read in images.items()}
        yield (
            {name: shown[name] for name in sorted(shown)},
            {_readable(name): reason for name, reason in lost.items()},
        )


def _without_images(path: Path, odd: dict[str, str]) -> TouchstoneError:
    """Return the error about a folder or an archive without images. odd: what cannot be read, with the reasons."""
    if not odd:
        return TouchstoneError(f"{path}: no images in it; give a folder of images such as .png or .jpg")
    name, reason = min(odd.items())
    more = f" (and {len(odd) - 1:,} more that cannot be read)" if len(odd) > 1 else ""
    return TouchstoneError(f"{path}: no image in it that can be read: {_readable(name)} {reason}{more}")


def _report(path: Path, lines: list[str]) -> None:
    for line in lines:
        print(f"{path}: {line}", file=sys.stderr)


def _readable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")

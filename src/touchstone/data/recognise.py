"""Recognise images by their content, where a file's name does not say what it is.

A camera's IMG_0001, a download called picture.dat and a cache's entry without a suffix are images to their owner. Files
whose suffix says that they are something else, raw files of cameras among them, and the copies that editors and
downloads leave, such as photo.jpg.bak, are never recognised.
"""

import io
import os
import struct
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import PurePosixPath

from PIL import Image

from touchstone.data import dicom, heif
from touchstone.data.archives import SUFFIXES
from touchstone.data.decode import NOT_DECODED, image_suffixes
from touchstone.data.metadata import without_metadata
from touchstone.data.reading import Read
from touchstone.data.wording import count

HEAD_BYTES = 132  # enough for every format's mark
# Pictures in formats that are not read: raw files of cameras, drawings, and newer formats.
PICTURES = frozenset(
    {
        *(".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".srw"),
        *(".ai", ".eps", ".svg", ".wmf", ".emf", ".jxl", ".djvu", ".xcf", ".pdf"),
        *(".npy", ".npz", ".mat", ".nii", ".exr", ".hdr"),
        *(".mp4", ".mov", ".avi", ".mkv"),
    }
)
LEFTOVERS = frozenset({".bak", ".backup", ".old", ".orig", ".tmp", ".temp", ".part", ".crdownload", ".thm", ".lock"})


def has_image_suffix(name: str) -> bool:
    """Return whether the name has the suffix of an image format that is read."""
    return os.path.splitext(name)[1].lower() in image_suffixes()


def may_be_image(name: str) -> bool:
    """Return whether the name is that of an image, or leaves open what the file is."""
    return has_image_suffix(name) or _leaves_open(name)


def _leaves_open(name: str) -> bool:
    """Return whether the name has no suffix, or one that stands for no format known here."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    if suffix in image_suffixes() or suffix in PICTURES or name.lower().endswith(SUFFIXES):
        return False
    leftover = suffix in LEFTOVERS or name.endswith(("~", "_original")) or has_image_suffix(path.stem)
    return not leftover


def is_image_content(read: Read) -> bool:
    """Return whether a file begins as an image of a format that is read, and its header can be parsed.

    Metadata that `decode` would leave out, as they are damaged, do not matter.
    """
    head = read(most=HEAD_BYTES)
    if dicom.is_dicom(head) or heif.is_heif(head):
        return True
    if not _marked(head):
        return False
    content = read()
    if _has_header(content):
        return True
    plain = without_metadata(content)
    return plain is not None and _has_header(plain)


def _has_header(content: bytes) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes and damaged metadata, which decoding reports
            Image.open(io.BytesIO(content), formats=_formats()).close()
    except Image.DecompressionBombError:
        return True  # decoding refuses it, by its name
    except Exception:  # on damaged headers Pillow raises almost anything
        return False
    return True


def recognised(files: Mapping[str, Read], folders: Iterable[str], *, anywhere: bool = False) -> list[str]:
    """Return the names of files that are images by their content, although not by their names, sorted.

    files: posix name -> a function that reads the file. folders: the names of all folders around them. Without
    `anywhere`, a file counts only where images are expected: in a folder that holds images by name, or no folders.
    """
    around = {name.rpartition("/")[0] for name in folders}
    with_images = {name.rpartition("/")[0] for name in files if has_image_suffix(name)}
    names = [name for name in sorted(files) if _leaves_open(name)]
    if not anywhere:
        names = [name for name in names if (folder := name.rpartition("/")[0]) in with_images or folder not in around]
    return [name for name in names if is_image_content(files[name])]


def taken_by_content(names: Iterable[str]) -> list[str]:
    """Return a note on the images that were recognised, as `took 2 files without a suffix (IMG_1, ...) as images`."""
    by_suffix: dict[str, list[str]] = {}
    for name in sorted(names):
        by_suffix.setdefault(PurePosixPath(name).suffix.lower(), []).append(name)
    parts = []
    for suffix, each in sorted(by_suffix.items()):
        kind = count(len(each), f"{suffix} file".strip()) + ("" if suffix else " without a suffix")
        parts.append(f"{kind} ({each[0]}{', ...' if len(each) > 1 else ''})")
    return [f"took {' and '.join(parts)} as images, by their content"] if parts else []


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(sorted(set(Image.OPEN) - NOT_DECODED))


@cache
def _marks() -> tuple[Callable[[bytes], bool | str], ...]:
    """Return the functions of Pillow that know a format by its first bytes."""
    return tuple(accept for name in _formats() if (accept := Image.OPEN[name][1]) is not None)


def _marked(head: bytes) -> bool:
    """Return whether the first bytes are those of a format that Pillow reads and knows by them."""
    for accept in _marks():
        try:
            if accept(head[:16]):
                return True
        except (IndexError, ValueError, struct.error):  # fewer bytes than it looks at
            continue
    return False

"""Image files of a source: found in a folder or an archive, packed into an uncompressed zip, and read from there."""

import csv
import hashlib
import io
import sys
import unicodedata
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from touchstone.data.archives import is_archive
from touchstone.data.decode import decode
from touchstone.data.dicom import is_dicom, patient
from touchstone.data.hidden import Aside
from touchstone.data.reading import archived_files, read_bytes
from touchstone.data.sources import RawImage
from touchstone.data.sources._packed import Packed
from touchstone.data.splits import UNLABELLED
from touchstone.data.walk import walk
from touchstone.errors import TouchstoneError

# A cell may hold a whole outline; csv refuses more than 131,072 characters unless the process says otherwise.
csv.field_size_limit(2**31 - 1)
# Columns of the manifest that are its own; a user's table may have others.
RESERVED = ("file", "label", "split", "sha256", "bytes", "difficult")
T = TypeVar("T")
Files = dict[str, Callable[..., bytes]]
"""Posix name relative to the root -> a function that reads the file."""


def find(
    path: Path, to: Path, spool: BinaryIO, *, keep: Callable[[str], bool], aside: Aside | None = None
) -> tuple[Files, set[str]]:
    """Return the visible files below the folder or archive at `path`, and the names of all its folders, in NFC.

    spool: a temporary file in the folder `to` for the contents of an archive's files whose names `keep` accepts. aside:
    notes what was passed over. Raises TouchstoneError where there is neither a folder nor an archive, on a name with a
    control character, on two names that are one in NFC, and on what `walk` and `members` refuse.
    """
    aside = aside or Aside()
    if path.is_dir():
        files, folders = _find_in_directory(path, aside)
    elif not path.exists():
        raise refusal(path, "does not exist; put a folder or an archive of images there, or set source.path")
    elif not path.is_file() or not is_archive(path):
        expected = "a folder or a .zip or .tar(.gz|.bz2|.xz) archive"
        raise refusal(path, f"got a file, expected {expected}; set source.path to one")
    else:
        files, folders = _find_in_archive(path, to, spool, keep, aside)
    return _in_nfc(files, path), set(_in_nfc(dict.fromkeys(folders), path))


def class_name(text: str, *, where: str) -> str:
    """Return the name in NFC, so that two encodings of one name are one class.

    Raises TouchstoneError where it is empty, begins or ends with a blank, or holds `|` or a control character.
    """
    name = unicodedata.normalize("NFC", text)
    if not name or "|" in name or name != name.strip() or has_control_character(name):
        raise TouchstoneError(
            f"{where}: got the class name {text!r}, expected one without | and control characters, and without blanks "
            "at its ends; rename it"
        )
    return name


def has_control_character(name: str) -> bool:
    """Return whether the name holds a control character, or a byte that is not UTF-8."""
    return any(unicodedata.category(char) in ("Cc", "Cs") for char in name)


def refusal(path: Path, text: str) -> TouchstoneError:
    """Return the error about what lies at `source.path`."""
    return TouchstoneError(f"source.path: {path}: {text}")


def pack(files: Files, to: Path, *, labels: Mapping[str, tuple[str, ...]], columns: tuple[str, ...]) -> None:
    """Write `files.zip` and `manifest.csv` (file, `columns`, sha256, bytes) into the folder `to`, sorted by name.

    labels: file -> its values of the columns. The bytes depend on the arguments alone, on every system. DICOM files add
    a column `patient`, their PatientID, unless `columns` has one.
    """
    rows = []
    patients: dict[str, str] = {}
    with zipfile.ZipFile(to / "files.zip", "w", zipfile.ZIP_STORED) as archive:
        for name in tqdm(sorted(files), desc="pack", disable=None):  # None: a bar only in a terminal
            content = files[name]()
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
            if is_dicom(content):
                patients[name] = _patient(content, name)
            rows.append((name, *labels[name], hashlib.sha256(content).hexdigest(), len(content)))
    table = pd.DataFrame(rows, columns=["file", *columns, "sha256", "bytes"])
    if patients and "patient" not in columns:
        table["patient"] = [patients.get(name, "") for name in table["file"]]
    table.to_csv(to / "manifest.csv", index=False, lineterminator="\n")


class PackedSet:
    """The `RawSet` of what `pack` wrote with the columns label, split, perhaps difficult, and others of a user's table.

    Ids are files' sha256.
    """

    def __init__(self, raw: Path) -> None:
        self.images: list[RawImage] = []
        num_bytes, none = [], dict[str, str]()
        with (raw / "manifest.csv").open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            columns = rows.fieldnames or ()
            for row in rows:
                num_bytes.append(int(row.pop("bytes")))
                # The same few labels in all rows are one text in memory.
                label, split, difficult = (sys.intern(row.pop(key, "")) for key in ("label", "split", "difficult"))
                self.images.append(
                    RawImage(row.pop("sha256"), label, split, row.pop("file"), difficult, dict(row) or none)
                )
        self.classes = sorted({name for image in self.images for name in image.labels})
        one_each = all(len(image.labels) == 1 for image in self.images if image.split != UNLABELLED)
        self.multi_label = "difficult" in columns or not one_each
        self._packed = Packed(raw / "files.zip", [image.file for image in self.images], num_bytes)

    def pixels(self, index: int, *, channels: int | None, max_pixels: int, bits: int = 8) -> np.ndarray:
        """Return `images[index]` as `decode` does. Raises BadImage if it cannot be decoded."""
        return decode(io.BytesIO(self.content(index)), channels=channels, max_pixels=max_pixels, bits=bits)

    def content(self, index: int) -> bytes:
        """Return the bytes of a file."""
        return self._packed.read(index, self.images[index].file)


def _patient(content: bytes, name: str) -> str:
    try:
        return patient(content)
    except TouchstoneError as error:
        raise TouchstoneError(f"{name}: {error}") from error


def _find_in_directory(path: Path, aside: Aside) -> tuple[Files, set[str]]:
    files: Files = {}
    folders = set()
    try:
        for entry in walk(path, aside=aside):
            if entry.is_folder:
                folders.add(entry.name)
            else:
                files[entry.name] = partial(_read_below, path, entry.name)
    except TouchstoneError as error:
        raise TouchstoneError(f"source.path: {error}") from error
    return files, folders


def _read_below(path: Path, name: str, *, most: int = -1) -> bytes:
    """Read a file of a folder. Its path is made only now: for each of a million files it would take half a KiB."""
    return read_bytes(path / name, most=most)


def _find_in_archive(
    path: Path, to: Path, spool: BinaryIO, keep: Callable[[str], bool], aside: Aside
) -> tuple[Files, set[str]]:
    files = archived_files(path, spool, to, keep=keep, aside=aside)
    around = {str(parent) for name in (*files, *aside.directories) for parent in PurePosixPath(name).parents}
    return {**files}, (around | set(aside.directories)) - {"."}


def _in_nfc(named: dict[str, T], path: Path) -> dict[str, T]:
    """Return the values under names in NFC, since macOS and Linux may encode one name in two ways."""
    out: dict[str, T] = {}
    for name, value in named.items():
        if has_control_character(name):
            raise refusal(path, f"the name {name!r} holds a control character or is not UTF-8; rename it")
        normal = unicodedata.normalize("NFC", name)
        if normal in out:
            raise refusal(path, f"two names are {normal} once normalised to NFC; rename one of them")
        out[normal] = value
    return out

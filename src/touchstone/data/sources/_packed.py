"""Image files in an uncompressed zip beside a table of their labels: the raw data of folder and the VOC sources."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from touchstone.data.decode import decode
from touchstone.data.sources import RawImage
from touchstone.data.sources._files import Files
from touchstone.data.splits import UNLABELLED
from touchstone.errors import TouchstoneError


def pack(files: Files, to: Path, *, labels: Mapping[str, tuple[str, ...]], columns: tuple[str, ...]) -> None:
    """Write `files.zip` and `manifest.csv` (file, `columns`, sha256, bytes) into the folder `to`, sorted by name.

    labels: file -> its values of the columns. The bytes depend on the arguments alone, on every system.
    """
    rows = []
    with zipfile.ZipFile(to / "files.zip", "w", zipfile.ZIP_STORED) as archive:
        for name in tqdm(sorted(files), desc="pack", disable=None):  # None: a bar only in a terminal
            content = files[name]()
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
            rows.append((name, *labels[name], hashlib.sha256(content).hexdigest(), len(content)))
    table = pd.DataFrame(rows, columns=["file", *columns, "sha256", "bytes"])
    table.to_csv(to / "manifest.csv", index=False, lineterminator="\n")


class PackedSet:
    """The `RawSet` of what `pack` wrote with the columns label, split and perhaps difficult. Ids are files' sha256."""

    def __init__(self, raw: Path) -> None:
        # Cells are text, and none is a missing value: a class may be called 01 or NA.
        table = pd.read_csv(raw / "manifest.csv", dtype=str, keep_default_na=False)
        columns = [name for name in ("sha256", "label", "split", "file", "difficult") if name in table]
        self.images = [RawImage(*row) for row in table[columns].itertuples(index=False, name=None)]
        self.classes = sorted({name for image in self.images for name in image.labels})
        one_each = all(len(image.labels) == 1 for image in self.images if image.split != UNLABELLED)
        self.multi_label = "difficult" in table or not one_each
        self._archive = raw / "files.zip"
        self._opened = threading.local()  # a ZipFile for each thread, so threads do not wait for one another

    def pixels(self, index: int, *, channels: int, max_pixels: int) -> np.ndarray:
        """Return `images[index]` as uint8 (H, W, channels). Raises BadImage if it cannot be decoded."""
        try:
            if not hasattr(self._opened, "archive"):
                self._opened.archive = zipfile.ZipFile(self._archive)
            content = self._opened.archive.read(self.images[index].file)
        except (zipfile.BadZipFile, EOFError, OSError, KeyError) as error:
            raise TouchstoneError(f"{self._archive}: damaged ({error}); run `dvc repro --force download`") from error
        return decode(io.BytesIO(content), channels=channels, max_pixels=max_pixels)

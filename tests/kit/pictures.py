"""Folders of small pictures as other people keep them, and archives of those folders."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from touchstone.data.findings import read as read_findings
from touchstone.data.sources import load_source


def picture(name: str, side: int = 8) -> Image.Image:
    """A picture of its own for each name."""
    seed = int.from_bytes(name.encode(errors="surrogateescape")[-8:], "big") + 1000 * len(name)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


def lay(root: Path, names: Iterable[str]) -> Path:
    """Write the named files: pictures by their suffix, text otherwise; a name that ends in / is an empty folder."""
    for name in names:
        file = root / name
        (file if name.endswith("/") else file.parent).mkdir(parents=True, exist_ok=True)
        if name.endswith((".png", ".jpg")):
            picture(name).save(file)
        elif not name.endswith("/"):
            file.write_bytes(b"text")
    return root


def classes(*folders: str, count: int = 2, suffix: str = ".png") -> list[str]:
    """The names of some pictures in each folder."""
    return [f"{folder}/{i}{suffix}" for folder in folders for i in range(count)]


def zipped(path: Path) -> Path:
    """An archive of a folder, with its empty folders, beside it."""
    archive = path.with_name(f"{path.name}.zip")
    with zipfile.ZipFile(archive, "w") as out:
        for file in sorted(path.rglob("*")):
            out.write(file, Path("around") / file.relative_to(path))
    return archive


def read(path: Path, to: Path, source: str = "folder") -> tuple[dict[str, tuple[str, str]], list[str]]:
    """File -> (label, split) of what `source` makes of a path, and the texts of its findings."""
    to.mkdir()
    load_source(source).download(to=to, path=path, mirror="")
    table = pd.read_csv(to / "manifest.csv", dtype=str, keep_default_na=False)
    found = {file: (label, split) for file, label, split in table[["file", "label", "split"]].itertuples(index=False)}
    return found, [finding.text for finding in read_findings(to / "findings.csv")]


def both(path: Path, tmp_path: Path, source: str = "folder") -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Return what `read` returns, once it is the same for the folder and for an archive of it."""
    found, texts = read(path, tmp_path / "raw", source)
    again, texts_again = read(zipped(path), tmp_path / "raw-of-zip", source)
    assert (again, texts_again) == (found, texts)
    for file in ("files.zip", "manifest.csv"):
        assert (tmp_path / "raw" / file).read_bytes() == (tmp_path / "raw-of-zip" / file).read_bytes()
    return found, texts

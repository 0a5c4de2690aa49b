"""Which data source reads a folder or an archive, by the names of its files."""

import fnmatch
import os
from pathlib import Path

from touchstone.data.archives import is_archive
from touchstone.data.recognise import has_image_suffix
from touchstone.data.sources import table
from touchstone.errors import TouchstoneError

PATTERNS = (
    ("table", ("*.parquet",)),
    ("coco", ("instances_*.json", "*_annotations.coco.json", "_annotations.coco.json")),
    ("idx", ("*-idx?-ubyte", "*-idx?-ubyte.gz")),
    ("medmnist", ("*.npz",)),
    ("table", ("metadata.csv", "metadata.jsonl", "metadata.tsv", "metadata.ndjson")),
)
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
MOST = 200_000  # names that are looked at


def source_of(path: Path) -> str:
    """Return the name of the data source for what lies at `path`.

    Raises TouchstoneError where nothing does, or a single file that no source reads.
    """
    if not path.exists():
        raise TouchstoneError(f"{path}: no such file or folder; give a folder or an archive of images")
    if path.is_dir():
        return _of_folder(path)
    if path.suffix.lower() in (".parquet", ".npz"):
        return "table" if path.suffix.lower() == ".parquet" else "medmnist"
    if is_archive(path):
        return "folder"
    raise TouchstoneError(f"{path}: got a file, expected a folder or a .zip or .tar archive of images")


def _of_folder(path: Path) -> str:
    names, folders = _names(path)
    if "JPEGImages" in folders and "ImageSets" in folders:
        return "voc"
    if any(name == "labels.csv" for name in names):
        return "folder"
    for source, patterns in PATTERNS:
        if any(fnmatch.fnmatch(Path(name).name, pattern) for name in names for pattern in patterns):
            return source
    if any(_is_coco(path / name) for name in names if name.lower().endswith(".json")):
        return "coco"
    if not any(map(has_image_suffix, names)) and any(is_archive(Path(name)) for name in names):
        return "webdataset"
    if any(
        table.lists_images((path / name).read_bytes(), file=name)
        for name in names
        if Path(name).suffix.lower() in TABLES
    ):
        return "table"
    return "folder"


def _names(path: Path) -> tuple[list[str], set[str]]:
    """The files below a folder, relative to it, and the names of all its folders."""
    names: list[str] = []
    folders: set[str] = set()
    for root, inner, files in os.walk(path):
        inner.sort()
        folders.update(inner)
        names += [os.path.relpath(os.path.join(root, file), path) for file in sorted(files)]
        if len(names) > MOST:
            break
    return names, folders


def _is_coco(file: Path) -> bool:
    """Whether a JSON file has the keys of COCO's annotations."""
    content = file.read_bytes()
    return b'"images"' in content and b'"categories"' in content


def _lists_images(file: Path) -> bool:
    try:
        return table.lists_images(file.read_bytes(), file=file.name)
    except OSError:
        return False  # `download` says that it cannot be read

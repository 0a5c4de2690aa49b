"""Which data source reads a folder or an archive, by the names of its files."""

import fnmatch
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from touchstone.data.archives import is_archive, members
from touchstone.data.reading import MAX_BYTES, MAX_FILES
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
IN_ARCHIVES = ("voc", "coco", "table")  # sources that also read archives, besides `folder`
MOST = 200_000  # names that are looked at

Read = Callable[[str], bytes]


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
        source = _source(*_in_archive(path))
        return source if source in IN_ARCHIVES else "folder"
    raise TouchstoneError(f"{path}: got a file, expected a folder or a .zip or .tar archive of images")


def _of_folder(path: Path) -> str:
    def read(name: str) -> bytes:
        try:
            return (path / name).read_bytes()
        except OSError:
            return b""  # `download` says that it cannot be read

    return _source(*_names(path), read)


def _source(names: list[str], folders: set[str], read: Read) -> str:
    """Return the source for these files, by their names and, of those that may list images, what is in them."""
    if "JPEGImages" in folders and "ImageSets" in folders:
        return "voc"
    if any(name == "labels.csv" for name in names):
        return "folder"
    for source, patterns in PATTERNS:
        if any(fnmatch.fnmatch(Path(name).name, pattern) for name in names for pattern in patterns):
            return source
    if any(_is_coco(read(name)) for name in names if name.lower().endswith(".json")):
        return "coco"
    if not any(map(has_image_suffix, names)) and any(is_archive(Path(name)) for name in names):
        return "webdataset"
    if any(table.lists_images(read(name), file=name) for name in names if Path(name).suffix.lower() in TABLES):
        return "table"
    return "folder"


def _in_archive(path: Path) -> tuple[list[str], set[str], Read]:
    """Return what `_source` takes, for an archive: without the folder that holds all others, if there is one."""
    folders: set[str] = set()
    contents: dict[str, bytes] = {}
    for name, content in members(path, max_files=MAX_FILES, max_bytes=MAX_BYTES):
        file = PurePosixPath(name)
        folders.update(file.parts[:-1])
        contents[name] = content if file.suffix.lower() in (".json", *TABLES) else b""
    parents = [PurePosixPath(name).parent.as_posix() for name in contents]
    wrapper = os.path.commonpath(parents) if parents else ""
    start = len(wrapper) + 1 if wrapper not in ("", ".") else 0
    inside = {name[start:]: content for name, content in contents.items()}
    return list(inside), folders, inside.__getitem__


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


def _is_coco(content: bytes) -> bool:
    """Return whether a JSON file has the keys of COCO's annotations."""
    return b'"images"' in content and b'"categories"' in content

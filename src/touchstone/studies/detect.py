"""Finds the data source that reads what lies at a path: a folder, an archive, or a table of images."""

import glob
from dataclasses import dataclass
from pathlib import Path

from touchstone.data.archives import TAR_OPENERS, is_archive
from touchstone.data.recognise import has_image_suffix
from touchstone.data.sources._labels_csv import NAME as LABELS_CSV
from touchstone.data.sources._structure import layout, wrapper
from touchstone.data.sources._tree import tree_of
from touchstone.errors import TouchstoneError
from touchstone.studies.peek import TABLES, Peek, peek

COCO = ("instances_*.json", "*_annotations.coco.json", "_annotations.coco.json")
IDX = ("*-idx?-ubyte", "*-idx?-ubyte.gz", "*.idx?-ubyte", "*.idx?-ubyte.gz")
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.tsv", "metadata.ndjson")  # the library `datasets` reads these
LISTINGS = (*TABLES, ".parquet", ".json")  # files that may list images
IN_ARCHIVES = ("voc", "coco", "idx", "table", "webdataset")  # sources that also read archives, besides `folder`


@dataclass(frozen=True)
class Place:
    """A place of images, and the source that reads them."""

    source: str
    """The name of a data source."""
    path: Path
    """Its `source.path`."""
    table: str = ""
    """The setting data.columns.table: a pattern of the one table that was given, "" for all."""


def place_of(path: Path) -> Place:
    """Return what reads the images at `path`; for a table alone, that is in the folder that holds it.

    Raises TouchstoneError where there is nothing, or nothing that a source reads.
    """
    if path.is_file() and path.name == LABELS_CSV:
        return Place("folder", path.parent)
    if path.is_file() and path.suffix.lower() in TABLES:
        return Place("table", path.parent, glob.escape(path.name))
    return Place(source_of(path), path)


def source_of(path: Path) -> str:
    """Return the name of the data source for what lies at `path`.

    Raises TouchstoneError where nothing does, or nothing that a source reads.
    """
    if not path.exists():
        raise TouchstoneError(f"{path}: no such file or folder; give a folder or an archive of images")
    if path.is_dir():
        with peek(path) as inside:
            return _source(inside, path)
    if path.suffix.lower() in (".parquet", ".npz"):
        return "table" if path.suffix.lower() == ".parquet" else "medmnist"
    if not is_archive(path):
        expected = "a folder or a .zip or .tar archive of images, or a table of them"
        raise TouchstoneError(f"{path}: got a file, expected {expected}")
    with peek(path) as inside:
        if path.name.lower().endswith(tuple(TAR_OPENERS)) and _is_shard(inside):
            return "webdataset"
        source = _source(inside, path)
    return source if source in IN_ARCHIVES else "folder"


def _source(inside: Peek, path: Path) -> str:
    """Return the source for these files, by their names and, of those that may list images, what is in them."""
    if "JPEGImages" in inside.folders and "ImageSets" in inside.folders:
        return "voc"
    if LABELS_CSV in inside.names:
        return "folder"
    for source, found in (
        ("table", inside.named(("*.parquet",))),
        ("coco", inside.named(COCO)),
        ("idx", inside.named(IDX)),
        ("medmnist", inside.named(("*.npz",))),
        ("table", inside.named(METADATA)),
    ):
        # Beside class folders a file counts for what it holds: metadata.csv may have captions, an .npz file features.
        if found and (source in ("coco", "idx") or not _has_class_folders(inside) or inside.any_lists(found)):
            return source
    if inside.any_lists(inside.annotations()):
        return "coco"
    archives = [name for name in inside.names if is_archive(Path(name))] if path.is_dir() else []
    if archives and not any(map(has_image_suffix, inside.names)):
        return _of_archives(archives, path)
    return "table" if inside.any_lists(inside.tables()) else "folder"


def _has_class_folders(inside: Peek) -> bool:
    """Return whether images lie in folders that the source `folder` reads as several classes."""
    images = [name for name in inside.names if has_image_suffix(name)]
    root = wrapper(tree_of(images, ()), ())
    own = [name.removeprefix(root) for name in images]
    parents = {name.rpartition("/")[0] for name in own}
    try:
        found = layout(tree_of(own, ()), Path())
        return len({found.of(parent)[0] for parent in parents} - {""}) > 1
    except TouchstoneError:
        return False


def _of_archives(archives: list[str], path: Path) -> str:
    """Return the source for a folder of archives and no images. Raises TouchstoneError where none can be a shard."""
    if any(name.lower().endswith(tuple(TAR_OPENERS)) for name in archives):
        return "webdataset"
    listed = ", ".join(archives[:3]) + (", ..." if len(archives) > 3 else "")
    raise TouchstoneError(f"{path}: holds archives ({listed}) and no images; unpack them into one folder and give that")


def _is_shard(inside: Peek) -> bool:
    """Return whether an archive is a WebDataset shard: no file lists images, and most have a label of the same key.

    A label in .cls is one anywhere; .json, and .txt of one word, only where no image lies in a folder, since beside
    images in class folders they are notes.
    """
    images = {_key(name) for name in inside.names if has_image_suffix(name)}
    if any(name.lower().endswith(LISTINGS) and _key(name) not in images for name in inside.names):
        return False
    kinds = (".cls",) if any("/" in key for key in images) else (".cls", ".json")
    labels = [name for name in inside.names if name.lower().endswith(kinds)]
    labels += [] if ".json" not in kinds else inside.words
    return 2 * len(images & {_key(name) for name in labels}) > len(images)


def _key(name: str) -> str:
    folder, slash, own = name.rpartition("/")
    return folder + slash + own.partition(".")[0]

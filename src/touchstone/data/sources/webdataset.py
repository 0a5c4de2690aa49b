"""Images in WebDataset's shards: tar archives in which files with one key belong together.

    train-000000.tar, val/000.tar, ...     <key>.jpg with <key>.cls, or <key>.json, or <key>.txt; perhaps <key>.npy
                                           for an image
    classes.txt                            perhaps: the names of the classes that numbers in .cls mean, one a line

A. Aizman, G. Maltby, T. Breuel, "High performance I/O for large scale deep learning", 2020, arXiv 2001.01858. The label
is the text of .cls (a number, a name, names joined by `|`), else the value of a key of .json (`data.columns.label`, or
one of LABEL_NAMES), whose other values are kept for `data.group`, else the text of .txt; a sample without any of them
is unlabelled. The split is that of the shard's name, else of its folder.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from touchstone.config.schema.data import Columns
from touchstone.data.archives import TAR_OPENERS, members
from touchstone.data.hidden import Aside
from touchstone.data.reading import MAX_BYTES, MAX_FILES
from touchstone.data.recognise import has_image_suffix
from touchstone.data.sources._class_list import class_list
from touchstone.data.sources._files import PackedSet, refusal
from touchstone.data.sources._listing import Listing
from touchstone.data.sources._tables import LABEL_NAMES, column, label_of, texts
from touchstone.data.sources._told import tell
from touchstone.data.sources._words import splits_of_files
from touchstone.data.walk import walk
from touchstone.errors import TouchstoneError, one_line

OPTIONS = ("columns",)
DEFAULT = Columns()
ARRAY = "npy"
LABELS = ("cls", "json", "txt")  # the first that a sample has


def download(*, to: Path, path: Path, mirror: str, old: Path | None = None, columns: Columns = DEFAULT) -> None:
    """Pack the images of the shard at `path`, or of all shards below that folder, with their labels.

    `mirror` and `old` are not used. Raises TouchstoneError on a sample with two images or none, on a label that cannot
    be read, and on what `walk` and `members` refuse.
    """
    aside = Aside()
    shards = _shards(path, aside)
    splits = splits_of_files(shards, where=f"source.path: {path}")
    classes, notes = class_list(path)
    with tempfile.TemporaryFile(dir=to) as spool:
        listing = Listing(path, to, spool)
        for name, file in shards.items():
            for key, sample in _samples(file, max_bytes=min(MAX_BYTES, shutil.disk_usage(to).free // 2), aside=aside):
                where = f"source.path: {path}: {name}: {key}"
                image = _image(sample, where)
                label, cells = _label(sample, classes, columns, where)
                stem = name[: -len(_suffix(name))]
                content = listing.keep(sample[image])
                listing.add(f"{stem}/{key}.{image}", content, label=label, split=splits[name], where=where, cells=cells)
        listing.pack(to)
    tell(path, to, notes=notes, aside=aside)


read = PackedSet


def _shards(path: Path, aside: Aside) -> dict[str, Path]:
    """Return shard -> its file; a shard's name is relative to the folder `path`. Links are followed."""
    if path.is_file() and _suffix(path.name):
        return {path.name: path}
    if not path.exists():
        raise refusal(path, "does not exist; put shards (.tar) there, or set source.path")
    try:
        found = [entry for entry in walk(path, aside=aside) if _suffix(entry.name)]
    except TouchstoneError as error:
        raise TouchstoneError(f"source.path: {error}") from error
    if not found:
        expected = f"expected files such as train-000000.tar ({', '.join(TAR_OPENERS)})"
        raise refusal(path, f"no shards in it, {expected}; set source.path to their folder")
    if unpacked := [entry.name for entry in found if entry.is_folder]:
        raise refusal(path, f"{unpacked[0]} is a folder; put the shard itself there")
    return {entry.name: entry.path for entry in found}


def _suffix(name: str) -> str:
    return next((suffix for suffix in TAR_OPENERS if name.lower().endswith(suffix)), "")


def _samples(shard: Path, *, max_bytes: int, aside: Aside) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield (key, extension -> content) for each run of members with one key: the path up to the name's first dot.

    Links are refused: their content would come after all files, out of its run.
    """
    key, sample = "", dict[str, bytes]()
    for name, content in members(shard, max_files=MAX_FILES, max_bytes=max_bytes, aside=aside, links=False):
        folder, slash, own = name.rpartition("/")
        stem, _, extension = own.partition(".")
        if folder + slash + stem != key and sample:
            yield key, sample
            sample = {}
        key = folder + slash + stem
        sample[extension.lower()] = content
    if sample:
        yield key, sample


def _image(sample: dict[str, bytes], where: str) -> str:
    """Return the extension of the sample's image."""
    # Not `seg.png` and the like, which are masks and other images of the sample.
    images = [extension for extension in sample if has_image_suffix(f"x.{extension}") and "." not in extension]
    images = images or [ARRAY] * (ARRAY in sample)  # beside an image it is something else, such as a mask
    if len(images) != 1:
        got = ", ".join(f".{each}" for each in sample)
        raise TouchstoneError(f"{where}: got {got}, expected one image for each key; write the shard again")
    return images[0]


def _label(
    sample: dict[str, bytes], classes: list[str], columns: Columns, where: str
) -> tuple[str | None, dict[str, str]]:
    """Return the label, None where there is none, and what else a sample's JSON says."""
    try:
        texts_of = {kind: sample[kind].decode("utf-8-sig").strip() for kind in LABELS if kind in sample}
        facts = json.loads(texts_of.pop("json", "{}"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise TouchstoneError(f"{where}: not UTF-8 or not JSON ({one_line(error)}); write the shard again") from error
    facts = facts if isinstance(facts, dict) else {"label": facts}
    wanted = column(columns.label, LABEL_NAMES, list(facts), key="data.columns.label", file=where)
    cell: Any = facts.pop(wanted) if wanted else None
    if "cls" in texts_of and not columns.label:
        cell = texts_of["cls"]
    elif not wanted and "txt" in texts_of:
        cell = texts_of["txt"]
    if cell is None:
        return None, texts(facts)
    if classes and isinstance(cell, str) and cell.lstrip("-").isdecimal():
        cell = int(cell)
    return label_of(cell, classes, where=where), texts(facts)

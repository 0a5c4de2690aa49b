"""Images in MNIST's idx files: MNIST itself, Fashion-MNIST, KMNIST, EMNIST, or your own.

    train-images-idx3-ubyte[.gz]    uint8 (N, H, W)        t10k-images-idx3-ubyte[.gz] or test-images-...
    train-labels-idx1-ubyte[.gz]    uint8 (N,)             t10k-labels-idx1-ubyte[.gz]

Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits"; G. Cohen et al., "EMNIST", 2017, arXiv
1702.05373. Classes are called by their numbers, by the lines of `classes.txt`, or by EMNIST's `<name>-mapping.txt`.
EMNIST's files, whose names begin with `emnist-`, hold each image column by column, and are read so.
"""

import gzip
import io
import math
import re
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np

from touchstone.data.hidden import Aside
from touchstone.data.sources._arrays import read_arrays, save_arrays
from touchstone.data.sources._class_list import class_list_among, is_class_list
from touchstone.data.sources._files import Files, find, refusal
from touchstone.data.sources._told import tell
from touchstone.data.sources._words import numbered, split_in
from touchstone.data.splits import SPLITS
from touchstone.errors import TouchstoneError, one_line

# Also `train-images.idx3-ubyte`, as some copies are called.
NAME = re.compile(r"(?P<set>.*?)(?P<kind>images|labels)[-.]idx(?P<dims>[13])-ubyte(\.gz)?")
EMNIST, MAPPING = "emnist-", "mapping.txt"  # how its files begin; how that of its letters ends
UINT8 = 8  # the code of the type in an idx file's header
MAX_BYTES = 8 << 30


def download(*, to: Path, path: Path, mirror: str, old: Path | None = None) -> None:
    """Write the images and labels of the idx files under `path`, a folder or an archive.

    `mirror` and `old` are not used. Raises TouchstoneError on a damaged file, on images without labels, on two data
    sets in one folder, and on what `find` refuses.
    """
    aside = Aside()
    with tempfile.TemporaryFile(dir=to) as spool:
        files = find(path, to, spool, keep=_is_read, aside=aside)[0]
        sets = _sets(files, path)
        parts, classes = {}, dict[int, str]()
        for split, (images_file, labels_file) in sets.items():
            images = _array(files[images_file](), 3, f"source.path: {path}: {images_file}")
            where = f"source.path: {path}: {labels_file}"
            labels = _array(files[labels_file](), 1, where)
            if len(images) != len(labels):
                raise TouchstoneError(
                    f"{where}: got {len(labels)} labels for {len(images)} images; get the files again"
                )
            if images_file.rpartition("/")[2].startswith(EMNIST):
                images = images.transpose(0, 2, 1)
            mapped = _mapping(images_file, files, path)
            names = class_list_among(files, images_file, where=f"source.path: {path}")
            known = {k: mapped.get(k) or numbered(k, names, where=where) for k in np.unique(labels).tolist()}
            classes |= known
            parts[split] = np.ascontiguousarray(images)[..., None], [known[k] for k in labels.tolist()]
    save_arrays(to, parts, [classes[number] for number in sorted(classes)])
    tell(path, to, aside=aside)


read = read_arrays


def _is_read(name: str) -> bool:
    return _match(name) is not None or name.endswith(f"-{MAPPING}") or is_class_list(name)


def _match(name: str) -> re.Match[str] | None:
    return NAME.fullmatch(name.rpartition("/")[2])


def _sets(files: Files, path: Path) -> dict[str, tuple[str, str]]:
    """Return split -> the files of its images and of its labels."""
    found: dict[str, dict[str, str]] = {}
    for name in sorted(files):
        if match := _match(name):
            split = "test" if match["set"].rstrip("-").endswith("t10k") else split_in(name)
            other = found.setdefault(split, {}).setdefault(match["kind"], name)
            if other != name:
                raise refusal(path, f"got {other} and {name}, expected one data set; set source.path to its own folder")
    if not found:
        raise refusal(path, "no idx files in it, expected names such as train-images-idx3-ubyte.gz; put them there")
    for kinds in found.values():
        if len(kinds) < 2:
            got = next(iter(kinds.values()))
            lacking = "labels" if "images" in kinds else "images"
            raise refusal(path, f"got {got} without the {lacking}; put their file beside it")
    if "" in found and len(found) > 1:
        silent = found[""]["images"]
        raise refusal(path, f"{silent} names no split, while others do; rename it as train-... or test-...")
    pairs = {split: (kinds["images"], kinds["labels"]) for split, kinds in found.items()}
    return {split: pairs[split] for split in ("", *SPLITS) if split in pairs}


def _array(content: bytes, dims: int, where: str) -> np.ndarray:
    """Return the array of an idx file, uint8 with `dims` dimensions."""
    compressed = content[:2] == b"\x1f\x8b"
    stream = gzip.GzipFile(fileobj=io.BytesIO(content)) if compressed else io.BytesIO(content)
    try:
        head = stream.read(4 + 4 * dims)
        if len(head) < 4 + 4 * dims or head[:4] != bytes((0, 0, UINT8, dims)):
            expected = bytes((0, 0, UINT8, dims)).hex()
            raise TouchstoneError(
                f"{where}: begins with {head[:4].hex()}, expected {expected}, idx of uint8; get it again"
            )
        shape = struct.unpack(f">{dims}I", head[4:])
        size = math.prod(shape)
        data = stream.read(size + 1) if 0 < size <= MAX_BYTES else b""
    except (OSError, EOFError, zlib.error) as error:
        raise TouchstoneError(f"{where}: damaged ({one_line(error)}); get it again") from error
    if len(data) != size or not size:
        got = f"{len(data)} bytes" if len(data) <= size else "more bytes"
        raise TouchstoneError(f"{where}: got {got} for {'x'.join(map(str, shape))}; the file is damaged; get it again")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _mapping(images: str, files: Files, path: Path) -> dict[int, str]:
    """Return the characters that EMNIST's numbers mean: a line is a number, then the codes of its letter's cases."""
    name = re.sub(f"{EMNIST}(.*)(train|test)-images.*", rf"{EMNIST}\1{MAPPING}", images)
    if name == images:
        return {}
    found: dict[int, str] = {}
    for number, line in enumerate(files[name]().decode("latin-1").splitlines() if name in files else (), 1):
        cells = line.split()
        if len(cells) < 2 or not all(cell.isdecimal() for cell in cells) or not chr(int(cells[1]) % 128).isalnum():
            where = f"{name}, line {number}"
            raise refusal(path, f"{where}: got {line!r}, expected a number and the code of a letter; get it again")
        found[int(cells[0])] = chr(int(cells[1]) % 128)
    return found

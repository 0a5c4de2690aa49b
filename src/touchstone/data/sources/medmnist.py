"""An .npz file in MedMNIST's layout: small images in arrays, with official splits.

    train_images, val_images, test_images    uint8 or uint16 (N, H, W) or (N, H, W, C), C up to 64
    train_labels, val_labels, test_labels    whole numbers (N,) or (N, 1): a class; 0 or 1 (N, K): several labels

Splits are also called by the other words of _roles.py, such as valid_images.
J. Yang et al., "MedMNIST v2", 2023, arXiv 2110.14795. Classes are called by their numbers, or by the lines of
`classes.txt` beside the file. `source.path` is the file, or the folder that holds it alone.
"""

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from touchstone.data.deep import MAX_CHANNELS
from touchstone.data.hidden import hidden
from touchstone.data.labels import join
from touchstone.data.levels import is_pixels
from touchstone.data.sources._arrays import read_arrays, save_arrays
from touchstone.data.sources._class_list import class_list
from touchstone.data.sources._files import refusal
from touchstone.data.sources._roles import SPLIT_OF
from touchstone.data.sources._told import tell
from touchstone.data.sources._words import numbered
from touchstone.data.splits import LABELLED
from touchstone.errors import TouchstoneError, one_line

DAMAGE = (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, MemoryError, NotImplementedError, RuntimeError)


def download(*, to: Path, path: Path, mirror: str, old: Path | None = None) -> None:
    """Write the images and labels of the .npz file at `path`. `mirror` and `old` are not used.

    Raises TouchstoneError on a damaged file, on pickled objects, on arrays of another kind or length, and on images and
    labels of another split.
    """
    file = _file(path)
    names, notes = class_list(path)
    try:
        opened = np.load(file, allow_pickle=False)
        if isinstance(opened, np.ndarray):
            raise refusal(file, "got one array, expected an .npz file with train_images, train_labels, ...")
        with opened:
            arrays = {key: opened[key] for key in opened.files if key.endswith(("_images", "_labels"))}
    except DAMAGE as error:
        raise refusal(file, f"not a readable .npz file of arrays ({one_line(error)}); get it again") from error
    words = _words(arrays, file)
    parts = {}
    classes: dict[int, str] = {}
    for split in filter(words.get, LABELLED):
        images = _images(arrays, words[split], file)
        labels, known = _labels(arrays, words[split], len(images), names, file)
        parts[split] = images, labels
        classes |= known
    if "train" not in parts:
        raise refusal(
            file, f"got the arrays {', '.join(sorted(arrays)) or 'none'}, expected train_images, train_labels"
        )
    save_arrays(to, parts, [classes[number] for number in sorted(classes)])
    tell(path, to, notes=notes)


read = read_arrays


def _file(path: Path) -> Path:
    if path.is_file():
        return path
    found = sorted(file for file in path.glob("*.npz") if not hidden(file.name))
    if len(found) != 1:
        raise refusal(path, f"got {len(found)} .npz files, expected one; set source.path to it")
    return found[0]


def _words(names: Iterable[str], file: Path) -> dict[str, str]:
    """Return split -> the word for it with which names of arrays begin: `valid` for val, say."""
    words: dict[str, str] = {}
    for name in sorted(names):
        word = name.rpartition("_")[0]
        split = SPLIT_OF.get(word, "")
        if split not in LABELLED:
            expected = ", ".join(f"{each}_{name.rpartition('_')[2]}" for each in LABELLED)
            raise refusal(file, f"got the array {name}, expected {expected}; rename or remove it")
        if words.setdefault(split, word) != word:
            raise refusal(file, f"the arrays of {words[split]} and {word} are both taken as {split}; remove one")
    return words


def _images(arrays: dict[str, np.ndarray], word: str, file: Path) -> np.ndarray:
    """Return the images of a split, which is called `word`, uint8 or uint16 (N, H, W, C)."""
    images = arrays.get(f"{word}_images", np.empty(0))
    grey = images[..., None] if images.ndim == 3 else images
    is_volume = grey.ndim == 4 and len(set(grey.shape[1:])) == 1  # of as many slices as rows and columns
    if not is_pixels(grey.dtype) or grey.ndim != 4 or is_volume or grey.shape[3] > MAX_CHANNELS or not grey.size:
        got = f"{images.dtype} {images.shape}"
        raise refusal(
            file,
            f"{word}_images: got {got}, expected uint8 or uint16 (N, H, W) or (N, H, W, C) with at most "
            f"{MAX_CHANNELS} channels; 3-D has no model here",
        )
    return grey


def _labels(
    arrays: dict[str, np.ndarray], word: str, count: int, names: list[str], file: Path
) -> tuple[list[str], dict[int, str]]:
    """Return the label of each image of a split, which is called `word`, and its classes by number."""
    labels = arrays.get(f"{word}_labels", np.empty(0))
    where = f"source.path: {file}: {word}_labels"
    if labels.dtype.kind not in "iub" or labels.ndim not in (1, 2) or len(labels) != count:
        got = f"{labels.dtype} {labels.shape}"
        raise TouchstoneError(
            f"{where}: got {got}, expected whole numbers ({count},) or ({count}, K); correct the file"
        )
    if labels.ndim == 2 and labels.shape[1] > 1:
        if not np.isin(labels, (0, 1)).all():
            raise TouchstoneError(f"{where}: got {labels.max()}, expected 0 or 1 for each of several classes")
        classes = {k: numbered(k, names, where=where) for k in range(labels.shape[1])}
        return [join([classes[k] for k in np.flatnonzero(row).tolist()]) for row in labels], classes
    flat = labels.reshape(-1).astype(np.int64)
    if flat.min() < 0:
        raise TouchstoneError(f"{where}: got the class number {flat.min()}, expected 0, 1, ...; correct the file")
    classes = {k: numbered(k, names, where=where) for k in np.unique(flat).tolist()}
    return [classes[k] for k in flat.tolist()], classes

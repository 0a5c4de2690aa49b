"""Images of a source as one array with a table, written by `download` and read as an `ArraySet`."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from touchstone.data.labels import names
from touchstone.data.sources import ArraySet, RawImage
from touchstone.data.splits import UNLABELLED
from touchstone.errors import TouchstoneError


def save_arrays(to: Path, parts: Mapping[str, tuple[np.ndarray, list[str]]], classes: list[str]) -> None:
    """Write `images.npy`, `labels.csv` (file, label, split) and `classes.csv` into the folder `to`.

    parts: split ("" for no official one) -> images, pixels (N, H, W, C), and their labels. Raises TouchstoneError
    where sizes, channels or types differ between the splits.
    """
    shapes = {split: images.shape[1:] for split, (images, _) in parts.items()}
    types = {split: images.dtype.name for split, (images, _) in parts.items()}
    if len(set(shapes.values())) > 1:
        got = ", ".join(f"{split} {'x'.join(map(str, shape))}" for split, shape in shapes.items())
        raise TouchstoneError(f"source.path: got images of {got}, expected one size and number of channels; correct it")
    if len(set(types.values())) > 1:
        got = ", ".join(f"{split} {kind}" for split, kind in types.items())
        raise TouchstoneError(f"source.path: got images of {got}, expected one type; correct it")
    np.save(to / "images.npy", np.concatenate([images for images, _ in parts.values()]), allow_pickle=False)
    rows = [
        (f"{split or 'images'}/{number:06d}", label, split)
        for split, (_, labels) in parts.items()
        for number, label in enumerate(labels)
    ]
    table = pd.DataFrame(rows, columns=["file", "label", "split"])
    table.to_csv(to / "labels.csv", index=False, lineterminator="\n")
    pd.DataFrame({"class": classes}).to_csv(to / "classes.csv", index=False, lineterminator="\n")


def read_arrays(raw: Path) -> ArraySet:
    """Open what `save_arrays` wrote. An image's id is the sha256 of its pixels."""
    array = np.load(raw / "images.npy", allow_pickle=False)
    # Cells are text, and none is a missing value: a class may be called 01 or NA.
    table, classes = (
        pd.read_csv(raw / name, dtype=str, keep_default_na=False) for name in ("labels.csv", "classes.csv")
    )
    images = [
        RawImage(id=hashlib.sha256(pixels.tobytes()).hexdigest(), label=label, split=split, file=file)
        for pixels, label, split, file in zip(array, table["label"], table["split"], table["file"], strict=True)
    ]
    several = any(len(names(image.label)) != 1 for image in images if image.split != UNLABELLED)
    return ArraySet(classes=list(classes["class"]), images=images, array=array, multi_label=several)

"""Handwritten digits: 1,797 grey images of 8x8 pixels in 10 classes, which come with scikit-learn.

The test part of the UCI Optical Recognition of Handwritten Digits data set, CC BY 4.0:
E. Alpaydin and C. Kaynak, 1998, https://doi.org/10.24432/C50P49. Values 0..16 become 0..255. No official split.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from touchstone.data.sources import ArraySet, RawImage

CLASSES = [str(digit) for digit in range(10)]


def download(*, to: Path, path: Path, mirror: str, old: Path | None = None) -> None:
    """Write `images.npy`, uint8 (N, 8, 8, 1), and `labels.csv` (file, label). Only `to` is used."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * 255 / 16).astype(np.uint8)[..., None]  # (N, 8, 8, 1)
    np.save(to / "images.npy", images, allow_pickle=False)
    files = [f"digits/{index:04d}" for index in range(len(images))]
    table = pd.DataFrame({"file": files, "label": digits.target})
    table.to_csv(to / "labels.csv", index=False, lineterminator="\n")


def read(raw: Path) -> ArraySet:
    """Open what `download` wrote. An image's id is the sha256 of its 64 pixels."""
    array = np.load(raw / "images.npy", allow_pickle=False)
    table = pd.read_csv(raw / "labels.csv", dtype=str)
    images = [
        RawImage(id=hashlib.sha256(pixels.tobytes()).hexdigest(), label=label, split="", file=file)
        for pixels, label, file in zip(array, table["label"], table["file"], strict=True)
    ]
    return ArraySet(classes=CLASSES, images=images, array=array)

"""CIFAR-100: 60,000 colour images of 32x32 pixels, officially 50,000 train and 10,000 test, with labels of two levels.

A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009,
https://www.cs.toronto.edu/~kriz/cifar.html (no licence stated). 161 MiB to fetch, 178 MiB as raw data.
"""

import hashlib
from pathlib import Path

import numpy as np

from touchstone.data.sources import ArraySet, RawImage
from touchstone.data.sources._cifar import Published, fetch_files, load, pictures

ARCHIVE = "cifar-100-python.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
FOLDER = "cifar-100-python"
ARCHIVE_MD5 = "eb9058c3a382ffc7106e4002c42a8d85"
META = "meta"
SPLITS = ("train", "test")  # the names of files as well
MD5 = {
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    META: "7973b15100ade9c7d40fb424638fde48",
}


def download(*, to: Path, path: Path, mirror: str, old: Path | None = None) -> None:
    """Write the three official files by `fetch_files`. `path` is not used."""
    fetch_files(Published(ARCHIVE, URL, ARCHIVE_MD5, FOLDER, MD5, META), to=to, mirror=mirror, old=old)


def read_level(raw: Path, level: str) -> ArraySet:
    """Open what `download` wrote. level: fine or coarse. An image's id is the sha256 of its bytes as (H, W, C)."""
    meta = load(raw / META, MD5[META])
    classes = [name.decode() for name in meta[f"{level}_label_names".encode()]]
    batches = {split: load(raw / split, MD5[split]) for split in SPLITS}
    array = np.concatenate([pictures(batch[b"data"]) for batch in batches.values()])
    rows = [
        (split, label, file.decode())
        for split, batch in batches.items()
        for label, file in zip(batch[f"{level}_labels".encode()], batch[b"filenames"], strict=True)
    ]
    images = [
        RawImage(id=hashlib.sha256(pixels).hexdigest(), label=classes[label], split=split, file=f"{split}/{file}")
        for pixels, (split, label, file) in zip(np.ascontiguousarray(array), rows, strict=True)
    ]
    return ArraySet(classes=classes, images=images, array=array)

"""CIFAR-10: 60,000 colour images of 32x32 pixels in 10 classes, officially 50,000 train and 10,000 test.

A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009,
https://www.cs.toronto.edu/~kriz/cifar.html (no licence stated). 163 MiB to fetch, 178 MiB as raw data. About 3.3 %
of the test images have a near copy among the training images (Barz & Denzler 2020, arXiv 1902.00423).
"""

import hashlib
from pathlib import Path

import numpy as np

from touchstone.data.sources import ArraySet, RawImage
from touchstone.data.sources._cifar import Published, fetch_files, load, pictures

ARCHIVE = "cifar-10-python.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
FOLDER = "cifar-10-batches-py"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"
META = "batches.meta"
MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    META: "5ff9c542aee3614f3951f8cda6e48888",
}
BATCHES = sorted(MD5.keys() - {META})  # data_batch_1..5, test_batch


def download(*, to: Path, path: Path, mirror: str, old: Path | None = None) -> None:
    """Write the seven official files by `fetch_files`. `path` is not used."""
    fetch_files(Published(ARCHIVE, URL, ARCHIVE_MD5, FOLDER, MD5, META), to=to, mirror=mirror, old=old)


def read(raw: Path) -> ArraySet:
    """Open what `download` wrote. An image's id is the sha256 of its 3,072 bytes in (H, W, C) order."""
    meta = load(raw / META, MD5[META])
    classes = [name.decode() for name in meta[b"label_names"]]
    num = meta[b"num_cases_per_batch"]
    array = np.empty((num * len(BATCHES), 32, 32, 3), np.uint8)  # filled batch by batch, to be in memory only once
    images: list[RawImage] = []
    for name in BATCHES:
        batch = load(raw / name, MD5[name])
        part = array[len(images) : len(images) + num]
        part[:] = pictures(batch[b"data"])
        images += [
            RawImage(
                id=hashlib.sha256(pixels).hexdigest(),
                label=classes[label],
                split="test" if name == "test_batch" else "train",
                file=f"{name}/{file.decode()}",
            )
            for pixels, label, file in zip(part, batch[b"labels"], batch[b"filenames"], strict=True)
        ]
    return ArraySet(classes=classes, images=images, array=array)

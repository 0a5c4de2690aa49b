"""CIFAR-10: 60,000 colour images of 32x32 pixels in 10 classes, officially 50,000 train and 10,000 test.

A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009,
https://www.cs.toronto.edu/~kriz/cifar.html (no licence stated). 163 MiB to fetch, 178 MiB as raw data. About 3.3 %
of the test images have a near copy among the training images (Barz & Denzler 2020, arXiv 1902.00423).
"""

import hashlib
import io
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from touchstone.data.archives import members
from touchstone.data.fetch import fetch
from touchstone.data.sources import ArraySet, RawImage
from touchstone.errors import TouchstoneError

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
    """Write the seven official files, each checked by md5. `path` is not used.

    mirror: "", a URL that holds the archive, or a directory that holds the archive, `cifar-10-batches-py/` or that
    folder's files. old: an earlier download, whose files are copied if all have the right md5. Raises TouchstoneError
    on what `fetch` and `members` refuse, and on a wrong md5.
    """
    if old is not None and all(_is_official(old / name, md5) for name, md5 in MD5.items()):
        for name in MD5:  # a change of code is no reason to fetch 163 MiB again
            shutil.copyfile(old / name, to / name)
        return
    for folder in (Path(mirror) / FOLDER, Path(mirror)) if mirror else ():
        if (folder / META).is_file():
            for name, md5 in MD5.items():
                fetch(name, to=to / name, url="", mirror=str(folder), md5=md5)
            return
    archive = to.with_name(f".{to.name}-{ARCHIVE}")
    try:
        fetch(ARCHIVE, to=archive, url=URL, mirror=mirror, md5=ARCHIVE_MD5)
        _unpack(archive, to)
    finally:
        archive.unlink(missing_ok=True)


def read(raw: Path) -> ArraySet:
    """Open what `download` wrote. An image's id is the sha256 of its 3,072 bytes in (H, W, C) order."""
    meta = _load(raw, META)
    classes = [name.decode() for name in meta[b"label_names"]]
    num = meta[b"num_cases_per_batch"]
    array = np.empty((num * len(BATCHES), 32, 32, 3), np.uint8)  # filled batch by batch, to be in memory only once
    images: list[RawImage] = []
    for name in BATCHES:
        batch = _load(raw, name)
        part = array[len(images) : len(images) + num]
        part[:] = batch[b"data"].reshape(num, 3, 32, 32).transpose(0, 2, 3, 1)  # (N, C*H*W) -> (N, H, W, C)
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


def _unpack(archive: Path, to: Path) -> None:
    missing = set(MD5)
    for member, content in members(archive, max_files=20, max_bytes=1 << 28):
        name = member.rpartition("/")[2]
        if name in MD5:
            _check(member, content, MD5[name])
            (to / name).write_bytes(content)
            missing.discard(name)
    if missing:
        raise TouchstoneError(f"{ARCHIVE}: no {min(missing)} in it; get the archive again from {URL}")


def _load(raw: Path, name: str) -> dict[bytes, Any]:
    content = (raw / name).read_bytes()
    _check(str(raw / name), content, MD5[name])
    return _Unpickler(io.BytesIO(content), encoding="bytes").load()


def _is_official(file: Path, md5: str) -> bool:
    return file.is_file() and hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() == md5


def _check(origin: str, content: bytes, md5: str) -> None:
    got = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if got != md5:
        raise TouchstoneError(f"{origin}: got md5 {got}, expected {md5}; the file is damaged; get it again")


class _Unpickler(pickle.Unpickler):
    """Loads only NumPy arrays and plain Python values; other pickles could call any function."""

    ALLOWED = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],  # NumPy 1's name, in the real batches
        ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise TouchstoneError(f"cifar10: the batch asks for {module}.{name}, expected arrays; get it again")
        return self.ALLOWED[module, name]

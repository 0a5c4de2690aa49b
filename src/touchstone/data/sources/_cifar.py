"""The official files of CIFAR-10 and CIFAR-100: pickles of arrays, trusted by their md5."""

import hashlib
import io
import pickle
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from touchstone.data.archives import members
from touchstone.data.fetch import fetch
from touchstone.errors import TouchstoneError


class Published(NamedTuple):
    """A data set as it is published: an archive of one folder."""

    archive: str
    url: str
    archive_md5: str
    folder: str
    md5: dict[str, str]
    """File in the folder -> md5."""
    meta: str
    """The file that names the classes."""


def fetch_files(published: Published, *, to: Path, mirror: str, old: Path | None) -> None:
    """Write the official files, each checked by md5, into the folder `to`.

    mirror: "", a URL that holds the archive, or a directory that holds the archive, its folder or that folder's files.
    old: an earlier download, whose files are copied if all have the right md5. Raises TouchstoneError on what `fetch`
    and `members` refuse, and on a wrong md5.
    """
    if old is not None and all(_is_official(old / name, md5) for name, md5 in published.md5.items()):
        for name in published.md5:  # a change of code is no reason to fetch the archive again
            shutil.copyfile(old / name, to / name)
        return
    for folder in (Path(mirror) / published.folder, Path(mirror)) if mirror else ():
        if (folder / published.meta).is_file():
            for name, md5 in published.md5.items():
                fetch(name, to=to / name, url="", mirror=str(folder), md5=md5)
            return
    archive = to.with_name(f".{to.name}-{published.archive}")
    try:
        fetch(published.archive, to=archive, url=published.url, mirror=mirror, md5=published.archive_md5)
        _unpack(archive, to, published)
    finally:
        archive.unlink(missing_ok=True)


def load(file: Path, md5: str) -> dict[bytes, Any]:
    """Return the content of an official file. Raises TouchstoneError on a wrong md5, and on pickled code."""
    content = file.read_bytes()
    _check(str(file), content, md5)
    return _Unpickler(io.BytesIO(content), encoding="bytes").load()


def pictures(rows: np.ndarray) -> np.ndarray:
    """Return images, uint8 (N, 32, 32, 3), of the rows of a batch, uint8 (N, C*H*W)."""
    return rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def _unpack(archive: Path, to: Path, published: Published) -> None:
    missing = set(published.md5)
    for member, content in members(archive, max_files=20, max_bytes=1 << 28):
        name = member.rpartition("/")[2]
        if name in published.md5:
            _check(member, content, published.md5[name])
            (to / name).write_bytes(content)
            missing.discard(name)
    if missing:
        raise TouchstoneError(
            f"{published.archive}: no {min(missing)} in it; get the archive again from {published.url}"
        )


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
            raise TouchstoneError(f"CIFAR: the file asks for {module}.{name}, expected arrays; get it again")
        return self.ALLOWED[module, name]

"""`source.path` as an address, such as s3://bucket/birds: copied into a temporary folder for as long as it is packed.

DVC watches the address itself as a dependency of the stage `download`; the file systems are fsspec's, which DVC brings:
http(s) at once, s3 with the extra `s3`, others with DVC's package for them (dvc-gs, dvc-azure, ...).
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from touchstone.data.remote_errors import explained
from touchstone.data.walk import check_names
from touchstone.errors import TouchstoneError

EXTRAS = {"s3": "pip install 'touchstone[s3]'", "gs": "pip install 'touchstone[gs]'", "azure": "pip install dvc-azure"}
MAX_FILES = 2_000_000
CONNECT_S, READ_S = 20, 60  # to connect to a web server, between two reads


def is_remote(path: str) -> bool:
    """Return whether a path is an address with a protocol, such as s3://bucket/birds."""
    return re.match(r"[a-z][a-z0-9+]*://", path) is not None


def check_place(path: str) -> None:
    """Raise TouchstoneError where `source.path` is missing, has an unknown protocol, or holds a name not in UTF-8."""
    if is_remote(path):
        check(path)
        return
    if not Path(path).exists():
        raise TouchstoneError(f"source.path: {path}: no such file or folder; put the images there")
    check_names(Path(path))


def check(path: str) -> None:
    """Raise TouchstoneError where the protocol of an address is unknown, or its package is not installed."""
    import fsspec

    protocol = path.partition("://")[0]
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError:
        remedy = EXTRAS.get(protocol, f"pip install dvc-{protocol}")
        raise TouchstoneError(
            f"source.path: {path}: {protocol} needs a package that is not installed; {remedy}"
        ) from None
    except ValueError:
        expected = "https, s3, gs or another protocol of DVC"
        raise TouchstoneError(f"source.path: {path}: unknown protocol {protocol}; expected {expected}") from None


@contextmanager
def local(path: str, *, beside: Path) -> Iterator[Path]:
    """Yield the local path of `path`: itself, or of an address a copy, in a folder beside `beside` that is removed.

    Errors raised in the block name the address. Raises TouchstoneError where it cannot be read, holds no file, or holds
    a name that would lie outside of the copy, and where the files take more than half of the free disk space.
    """
    if not is_remote(path):
        yield Path(path)
        return
    check(path)
    with tempfile.TemporaryDirectory(dir=beside.parent, prefix=f".{beside.name}-source") as folder:
        try:
            copy = _copy(path, Path(folder))
        except TouchstoneError:
            raise
        except Exception as error:  # each file system has errors of its own
            raise _unreadable(path, error) from error
        try:
            yield copy
        except TouchstoneError as error:
            raise type(error)(str(error).replace(str(copy), path)) from error


def probe(path: str) -> None:
    """Raise TouchstoneError, with the reason, where nothing can be read at an address."""
    check(path)
    try:
        system, root = _opened(path)
        system.info(root)
    except Exception as error:  # each file system has errors of its own
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: Exception) -> TouchstoneError:
    return TouchstoneError(f"source.path: {path}: cannot be read: {explained(error)}")


def _opened(path: str) -> tuple[Any, str]:
    """Return the file system of an address, and the address in it."""
    import fsspec

    if not _is_web(path):
        return fsspec.url_to_fs(path)
    import aiohttp

    # Without these, a copy that takes more than five minutes would end in an error.
    limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S)
    return fsspec.url_to_fs(path, client_kwargs={"timeout": limits})


def _is_web(path: str) -> bool:
    return path.startswith(("http://", "https://"))


def _copy(path: str, folder: Path) -> Path:
    """Copy the file or the files below the address into the folder, and return where they lie."""
    system, root = _opened(path)
    web = _is_web(path)  # a folder there is a page of links
    plain = root.partition("?")[0] if web else root
    to = folder / (PurePosixPath(plain.rstrip("/")).name or "source")
    sizes = {root: system.size(root)} if web or system.isfile(root) else _sizes(system, root)
    if not sizes:
        raise TouchstoneError(f"source.path: {path}: nothing there; check the address")
    names = {remote: to if remote == root else to / _relative(remote, root, path) for remote in sizes}
    free, needed = shutil.disk_usage(folder).free, sum(size or 0 for size in sizes.values())
    if needed > free // 2 or len(sizes) > MAX_FILES:
        got = f"{len(sizes):,} files of {needed:,} bytes"
        raise TouchstoneError(
            f"source.path: {path}: {got}, expected at most {MAX_FILES:,} and half of the free {free:,} bytes; free some"
        )
    for parent in {file.parent for file in names.values()}:
        parent.mkdir(parents=True, exist_ok=True)
    system.get([*names], [str(file) for file in names.values()])
    return to


def _sizes(system: Any, root: str) -> dict[str, int]:
    found = system.find(root, detail=True)
    return {name: info["size"] for name, info in sorted(found.items()) if not name.endswith("/")}


def _relative(remote: str, root: str, path: str) -> str:
    """Return the name below `root`. Raises TouchstoneError on names that would lie outside of a copy."""
    name = remote.removeprefix(root.rstrip("/") + "/")
    if name == remote or name.startswith("/") or "\\" in name or {"", ".", ".."} & set(name.split("/")):
        raise TouchstoneError(
            f"source.path: {path}: the name {remote!r} has `..`, a backslash or an empty part; rename it"
        )
    return name

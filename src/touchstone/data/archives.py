"""Reads the files of a .zip or tar archive one after another, without extracting anything to disk.

An archive is foreign input: names and links that point elsewhere, devices and too many unpacked bytes are refused.
Bytes are counted as they are read, never taken from a header.
"""

import bz2
import gzip
import io
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from touchstone.data.archive_links import Links
from touchstone.data.hidden import Aside, hidden
from touchstone.errors import TouchstoneError, one_line

# Suffix -> the function that opens the stream of members.
TAR_OPENERS: dict[str, Callable[[Path, str], Any]] = {
    ".tar": open,
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tar.xz": lzma.open,
}
SUFFIXES = (".zip", *TAR_OPENERS)
CHUNK_BYTES = 1 << 20
UTF8_FLAG = 0x800  # of a .zip's member: its name is in UTF-8
UNICODE_PATH = 0x7075  # the extra field in which Info-ZIP keeps such a name
DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, ValueError, OverflowError),
    RuntimeError,  # also an unknown compression (NotImplementedError) and endlessly nested headers (RecursionError)
)


def is_archive(path: Path) -> bool:
    """Return whether the name has the suffix of an archive that `members` reads."""
    return path.name.lower().endswith(SUFFIXES)


def members(
    path: Path, *, max_files: int, max_bytes: int, aside: Aside | None = None, links: bool = True
) -> Iterator[tuple[str, bytes]]:
    """Yield (posix name, content) of each regular file in the archive, in its order, and then of links in a tar file.

    Links have the content of the files in the archive that they mean, also by way of a folder, and come in the order of
    these. links: whether there may be visible ones; a reader that needs the archive's order refuses them.
    Directories and `hidden` names are left out. Memory holds one member at a time, and at most `max_bytes` of it. Names
    in a .zip are UTF-8, also where its flag for that is missing, or else code page 437. aside: notes what was passed
    over and which names were not UTF-8.

    Raises TouchstoneError on links in a .zip, links out of the archive, to nothing or in a circle, devices, absolute
    names, drive letters, backslashes, `..`, two members of one name, encrypted members, more than `max_files` files or
    `max_bytes` uncompressed bytes in all, which count again for each link to them, in a tar file a link with two
    targets, a path that no system allows or too many members in all (see `Links`), a damaged or truncated archive, and
    an unknown suffix. Members before the damage are yielded first.
    """
    if not is_archive(path):
        raise TouchstoneError(f"{path}: not an archive; expected one of {', '.join(SUFFIXES)}")
    aside = aside or Aside()
    if path.name.lower().endswith(".zip"):
        found = _zip_members(path, max_bytes, aside)
    else:
        found = _tar_members(path, max_bytes, aside, max_files=max_files, may_link=links)
    seen: set[str] = set()
    try:
        for name, content in found:
            if name in seen:
                raise _refusal(path, name, "two members have this name", "pack the archive again")
            if len(seen) == max_files:
                reason = f"the archive holds more than {max_files} files"
                raise _refusal(path, name, reason, "unpack it yourself if you trust it")
            seen.add(name)
            yield name, content
    except DAMAGE as error:
        raise TouchstoneError(f"{path}: damaged or truncated ({one_line(error)}); get the archive again") from error


def _zip_members(path: Path, left: int, aside: Aside) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            plain = _zip_name(info)
            name = safe_name(path, info.filename if plain is None else plain)
            kind = stat.S_IFMT(info.external_attr >> 16)  # the Unix mode; 0 where the archive was not packed on Unix
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _not_regular(path, name, "a symbolic link" if stat.S_ISLNK(kind) else "a device")
            if hidden(name):
                aside.skip(name)
                continue
            if info.is_dir():
                aside.directories.append(name)
                continue
            if plain is None:
                aside.code_page.append(name)
            if info.flag_bits & 0x1:
                raise _refusal(path, name, "is encrypted", "pack the archive again without a password")
            with archive.open(info) as file:
                content = _read(file, left, path, name)
            left -= len(content)
            yield name, content


def _zip_name(info: zipfile.ZipInfo) -> str | None:
    """Return the member's name, or None where it is not in UTF-8, as Finder and `zip` write it without saying so."""
    if info.flag_bits & UTF8_FLAG:
        return info.filename
    raw, extra = info.orig_filename.encode("cp437"), info.extra  # zipfile decodes such names so, whatever they are
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        if kind == UNICODE_PATH and size > 5 and extra[5:9] == struct.pack("<L", zlib.crc32(raw)):
            return extra[9 : 4 + size].decode()
        extra = extra[4 + size :]
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _tar_members(path: Path, left: int, aside: Aside, *, max_files: int, may_link: bool) -> Iterator[tuple[str, bytes]]:
    links = Links(path, max_files=max_files)
    for archive, info in _tar_headers(path):
        name = safe_name(path, info.name)
        if not (may_link or hidden(name)) and (info.issym() or (info.islnk() and not _is_itself(info))):
            reason = f"is a link to {info.linkname!r}, but files that belong together must lie side by side"
            raise _refusal(path, name, reason, "pack the archive again with `tar --dereference --hard-dereference`")
        if info.isdir():
            links.add_folder(name)
            aside.directories += [] if hidden(name) else [name]
        elif info.issym():
            links.add_symbolic(name, info.linkname)
        elif info.islnk():
            links.add_hard(name, info.linkname)
        elif not info.isreg():
            raise _not_regular(path, name, "a device")
        elif hidden(name):
            links.add_file(name)
            aside.skip(name)
            left -= info.size  # a tar file is read from its beginning to its end
            if left < 0:
                raise _too_large(path, name)
        else:
            links.add_file(name)
            content = _read_tar(archive, info, left, path)
            left -= len(content)
            yield name, content
    meanings = links.meanings(aside)
    for archive, info in _tar_headers(path) if meanings else ():
        for name in meanings.pop(safe_name(path, info.name), ()) if info.isreg() else ():
            content = _read_tar(archive, info, left, path)
            left -= len(content)
            yield name, content


def _is_itself(info: tarfile.TarInfo) -> bool:
    """Return whether a hard link is GNU tar's second mention of a member."""
    return PurePosixPath(info.name) == PurePosixPath(info.linkname)


def _tar_headers(path: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Yield the opened archive with each of its members. Raises tarfile.ReadError where it ends too early."""
    opener = next(opener for suffix, opener in TAR_OPENERS.items() if path.name.lower().endswith(suffix))
    with opener(path, "rb") as stream, tarfile.open(fileobj=_SmallReads(stream), mode="r:") as archive:
        for info in archive:
            archive.members.clear()  # type: ignore[attr-defined]  # otherwise tarfile keeps all headers
            yield archive, info
        stream.seek(archive.offset)  # tarfile stops silently at a damaged header or a missing end mark
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("no end mark")
        stream.read(CHUNK_BYTES)  # past the padding, which makes the compression verify its own checksum


def _read_tar(archive: tarfile.TarFile, info: tarfile.TarInfo, left: int, path: Path) -> bytes:
    file = archive.extractfile(info)
    assert file is not None  # None is for directories and devices
    return _read(file, left, path, info.name)


class _SmallReads(io.RawIOBase):
    """A stream that refuses large single reads, since tarfile reads a pax header of any declared size at once."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= CHUNK_BYTES:
            raise tarfile.ReadError("a header is too large")
        return self.stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        return self.stream.tell()


def _read(file: IO[bytes], left: int, path: Path, name: str) -> bytes:
    """Return the member's content. At most `left` bytes and one chunk are unpacked."""
    content = io.BytesIO()
    while chunk := file.read(CHUNK_BYTES):
        content.write(chunk)
        if content.tell() > left:
            raise _too_large(path, name)
    return content.getvalue()


def safe_name(path: Path, name: str) -> str:
    """Return the name without `.` parts and doubled slashes."""
    if name.startswith("/") or "\\" in name or re.match("[A-Za-z]:", name) or ".." in name.split("/"):
        reason = "the name is absolute, or holds `..`, a backslash or a drive letter"
        raise _refusal(path, name, reason, "pack the archive again with relative names")
    return str(PurePosixPath(name))


def _not_regular(path: Path, name: str, what: str) -> TouchstoneError:
    return _refusal(path, name, f"is {what}, expected a regular file", "pack the archive again without it")


def _too_large(path: Path, name: str) -> TouchstoneError:
    return _refusal(path, name, "unpacks to more than the bytes allowed", "unpack it yourself if you trust it")


def _refusal(path: Path, name: str, reason: str, remedy: str) -> TouchstoneError:
    return TouchstoneError(f"{path}: {name}: {reason}; {remedy}")

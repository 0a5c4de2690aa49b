import io
import stat
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from touchstone.data.archives import SUFFIXES, is_archive, members
from touchstone.data.hidden import Aside
from touchstone.errors import TouchstoneError

TARS = [suffix for suffix in SUFFIXES if suffix != ".zip"]
FILES = {"b/two.txt": b"two", "a/one.txt": b"one" * 1000, "empty": b"", "b/ä.txt": b"u"}


def pack_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def pack_tar(path: Path, files: dict[str, bytes], special: tarfile.TarInfo | None = None) -> Path:
    mode = {".tar": "w", ".gz": "w:gz", ".tgz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}[path.suffix]
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        if special:
            archive.addfile(special)
    return path


def pack(folder: Path, suffix: str, files: dict[str, bytes]) -> Path:
    path = folder / f"packed{suffix}"
    return pack_zip(path, files) if suffix == ".zip" else pack_tar(path, files)


def unpack(path: Path, max_files: int = 100, max_bytes: int = 10**6) -> list[tuple[str, bytes]]:
    return list(members(path, max_files=max_files, max_bytes=max_bytes))


def refused(path: Path, **limits: int) -> str:
    with pytest.raises(TouchstoneError) as raised:
        unpack(path, **limits)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(f"{path}: ")
    assert "; " in str(raised.value)
    return str(raised.value)


# --- what is read ---


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_come_in_archive_order(tmp_path: Path, suffix: str) -> None:
    assert unpack(pack(tmp_path, suffix, FILES)) == list(FILES.items())
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"packed{suffix}"]


def test_upper_case_suffix(tmp_path: Path) -> None:
    assert unpack(pack(tmp_path, ".zip", FILES).rename(tmp_path / "PACKED.ZIP")) == list(FILES.items())


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_folders_and_bookkeeping_are_left_out(tmp_path: Path, suffix: str) -> None:
    left_out = ["__MACOSX/a/._one.txt", "a/.DS_Store", "a/Thumbs.db", ".git/config", "a/.hidden/x"]
    files = dict.fromkeys(left_out, b"x") | FILES
    assert unpack(pack(tmp_path, suffix, files), max_files=4) == list(FILES.items())


def test_directories_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "file").write_bytes(b"x")
    with tarfile.open(tmp_path / "packed.tar", "w") as tar:
        tar.add(tmp_path / "in", arcname=".")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.write(tmp_path / "in" / "a", "./a")
        archive.write(tmp_path / "in" / "a" / "file", "./a/file")
    assert unpack(tmp_path / "packed.tar") == [("a/file", b"x")]
    assert unpack(tmp_path / "packed.zip") == [("a/file", b"x")]


def test_long_names(tmp_path: Path) -> None:
    files = {"/".join(["ä" * 60] * 5): b"x"}
    assert unpack(pack(tmp_path, ".zip", files)) == list(files.items())
    assert unpack(pack(tmp_path, ".tar", files)) == list(files.items())


def test_is_archive() -> None:
    assert all(is_archive(Path(f"x{suffix}")) for suffix in SUFFIXES)
    assert not any(is_archive(Path(name)) for name in ("x.gz", "x.7z", "zip", "x.tar.zst"))


# --- what is refused ---


def test_unknown_suffix(tmp_path: Path) -> None:
    assert "not an archive; expected one of .zip, .tar" in refused(tmp_path / "x.7z")


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up", "a\\b", "C:/x", "c:x", "a/.."])
def test_names_that_point_elsewhere(tmp_path: Path, suffix: str, name: str) -> None:
    message = refused(pack(tmp_path, suffix, {"fine": b"x", name: b"x"}))
    assert f" {name}: the name is absolute" in message


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.FIFOTYPE, "is a device"),
        (tarfile.CHRTYPE, "is a device"),
        (tarfile.BLKTYPE, "is a device"),
        (b"Z", "is a device"),
    ],
)
def test_tar_members_that_are_not_files(tmp_path: Path, kind: bytes, said: str) -> None:
    entry = tarfile.TarInfo("odd")
    entry.type, entry.linkname = kind, "fine"
    message = refused(pack_tar(tmp_path / "packed.tar", {"fine": b"x"}, entry))
    assert f"odd: {said}, expected a regular file; pack the archive again without it" in message


@pytest.mark.parametrize(("kind", "said"), [(stat.S_IFLNK, "a symbolic link"), (stat.S_IFIFO, "a device")])
def test_zip_members_that_are_not_files(tmp_path: Path, kind: int, said: str) -> None:
    entry = zipfile.ZipInfo(".hidden/odd")
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    assert f"odd: is {said}" in refused(tmp_path / "packed.zip")


def test_encrypted(tmp_path: Path) -> None:
    path = pack(tmp_path, ".zip", {"secret": b"x"})
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flags in the local header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    path.write_bytes(content)
    assert "secret: is encrypted; pack the archive again without a password" in refused(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_two_members_of_one_name(tmp_path: Path, suffix: str) -> None:
    assert "a/b: two members have this name" in refused(pack(tmp_path, suffix, {"a/b": b"x", "./a//b": b"y"}))


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_the_limits_themselves_are_allowed(tmp_path: Path, suffix: str) -> None:
    path = pack(tmp_path, suffix, {"a": b"x" * 10, "b": b"x" * 20})
    assert len(unpack(path, max_files=2, max_bytes=30)) == 2
    assert "b: the archive holds more than 1 files" in refused(path, max_files=1)
    assert "b: unpacks to more than the bytes allowed" in refused(path, max_bytes=29)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.xz"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, suffix: str) -> None:
    path = pack(tmp_path, suffix, {"bomb": bytes(50 << 20)})
    tracemalloc.start()
    assert "bomb: unpacks to more than the bytes allowed" in refused(path, max_bytes=1000)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


def test_a_declared_size_is_not_trusted(tmp_path: Path) -> None:
    path = pack(tmp_path, ".zip", {"bomb": bytes(10**6)})
    content = bytearray(path.read_bytes())
    for at in (22, content.index(b"PK\x01\x02") + 24):  # the uncompressed size, in both headers
        content[at : at + 4] = (10).to_bytes(4, "little")
    path.write_bytes(content)
    refused(path, max_bytes=1000)


def test_hidden_tar_members_count_as_read(tmp_path: Path) -> None:
    path = pack(tmp_path, ".tar.gz", {".hidden": bytes(1000), "file": b"x"})
    assert "file: unpacks to more" in refused(path, max_bytes=1000)
    assert ".hidden: unpacks to more" in refused(path, max_bytes=999)


def test_a_large_tar_header_is_not_read(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("pax")
    entry.type, entry.size = tarfile.XHDTYPE, 30 << 20
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz") as archive:
        archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    assert "a header is too large" in refused(tmp_path / "packed.tar.gz")


# --- damage ---


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated(tmp_path: Path, suffix: str, share: float) -> None:
    noise = {name: bytes(range(256)) * 8 for name in "abcd"}
    path = pack(tmp_path, suffix, noise)
    content = path.read_bytes()
    if suffix == ".tar":
        content = content[: 4 * (512 + 2048) + 1024]  # without the padding after the end mark
    path.write_bytes(content[: int(len(content) * share)])
    if (suffix, share) == (".tar", 0.999):  # half of an end mark is enough, as it is for GNU tar
        assert len(unpack(path)) == 4
    else:
        assert "damaged or truncated (" in refused(path)


def test_tar_cut_between_two_members(tmp_path: Path) -> None:
    path = pack(tmp_path, ".tar", {"a": b"x", "b": b"x"})
    path.write_bytes(path.read_bytes()[:1024])
    assert "no end mark" in refused(path)


def test_tar_with_a_damaged_header_between(tmp_path: Path) -> None:
    path = pack(tmp_path, ".tar", {"a": b"x", "b": b"x"})
    content = bytearray(path.read_bytes())
    content[1024] ^= 1
    path.write_bytes(content)
    assert "no end mark" in refused(path)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_flipped_bit_in_the_content(tmp_path: Path, suffix: str) -> None:
    path = pack(tmp_path, suffix, {"a": bytes(range(256)) * 8})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if suffix == ".zip":
        content[60] ^= 1
    path.write_bytes(content)
    assert "damaged or truncated" in refused(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_not_what_the_suffix_says(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"x{suffix}").write_bytes(b"hello" * 500)
    assert "damaged or truncated" in refused(tmp_path / f"x{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing(tmp_path: Path, suffix: str) -> None:
    assert "No such file" in refused(tmp_path / f"x{suffix}")


def test_unknown_compression(tmp_path: Path) -> None:
    path = pack(tmp_path, ".zip", {"a": b"x"})
    content = bytearray(path.read_bytes())
    for at in (8, content.index(b"PK\x01\x02") + 10):
        content[at] = 99
    path.write_bytes(content)
    assert "damaged or truncated" in refused(path)


# --- names in zips ---


def without_flag(path: Path, name: bytes) -> Path:
    """Write a zip with one member whose name is these bytes, without the flag that says UTF-8."""
    pack_zip(path, {"?" * len(name): b"x"})
    content = path.read_bytes()
    path.write_bytes(content.replace(b"?" * len(name), name))
    return path


def test_a_name_is_utf8_also_without_its_flag(tmp_path: Path) -> None:
    aside = Aside()
    path = without_flag(tmp_path / "packed.zip", "K\u00e4se/\u732b.png".encode())
    assert list(members(path, max_files=9, max_bytes=9, aside=aside)) == [("K\u00e4se/\u732b.png", b"x")]
    assert aside.lines() == []


def test_a_name_that_is_not_utf8_is_read_as_code_page_437_and_told(tmp_path: Path) -> None:
    aside = Aside()
    path = without_flag(tmp_path / "packed.zip", "K\u00e4se.png".encode("cp437"))
    assert list(members(path, max_files=9, max_bytes=9, aside=aside)) == [("K\u00e4se.png", b"x")]
    [line] = aside.lines()
    assert line.startswith("names in the archive that are not UTF-8, read as code page 437: 1 (K\u00e4se.png); pack it")


def test_a_name_in_the_extra_field_of_info_zip(tmp_path: Path) -> None:
    plain = b"K?se.png"
    entry = zipfile.ZipInfo(plain.decode())
    field = struct.pack("<BL", 1, zlib.crc32(plain)) + "K\u00e4se.png".encode()
    entry.extra = struct.pack("<HH", 0x7075, len(field)) + field
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr(entry, b"x")
    assert unpack(tmp_path / "packed.zip") == [("K\u00e4se.png", b"x")]

import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from kit.images import picture
from touchstone.data.remote import check, is_remote, local
from touchstone.data.sources import folder
from touchstone.errors import TouchstoneError


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """A file system in memory, which is one for the whole process."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def pack(path: str, tmp_path: Path) -> dict[str, bytes]:
    """The files that the source folder writes, which leaves nothing else in the folder."""
    raw = tmp_path / "data" / f"raw{len(list(tmp_path.glob('data/*')))}"
    raw.mkdir(parents=True)
    before = set(raw.parent.iterdir())
    with local(path, beside=raw) as found:
        folder.download(to=raw, path=found, mirror="")
    assert set(raw.parent.iterdir()) == before
    return {file.name: file.read_bytes() for file in raw.iterdir()}


def test_addresses_and_paths() -> None:
    assert [is_remote(p) for p in ("s3://b/x", "https://a/b.zip", "gs://b")] == [True] * 3
    assert [is_remote(p) for p in ("data/x", "/data/x", "C:\\x", "a:b", "data://x y"[:4])] == [False] * 5


def test_a_path_is_itself(tmp_path: Path) -> None:
    with local("data/x", beside=tmp_path / "raw") as path:
        assert path == Path("data/x")


def test_a_folder_and_an_archive_at_an_address_equal_local_ones(
    tmp_path: Path, memory: fsspec.AbstractFileSystem
) -> None:
    import shutil

    for name in ("cat/1.png", "cat/deep/2.png", "dog/1.png", "dog/2.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(picture(name))
        memory.pipe(f"/bucket/set/{name}", picture(name))
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "in"))
    memory.pipe("/bucket/set.zip", archive.read_bytes())
    expected = pack(str(tmp_path / "in"), tmp_path)
    for address in ("memory://bucket/set", "memory://bucket/set/", "memory://bucket/set.zip", f"file://{tmp_path}/in"):
        assert pack(address, tmp_path) == expected, address


def test_errors_name_the_address(tmp_path: Path, memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe("/bucket/set/1.png", picture("1"))
    with pytest.raises(TouchstoneError) as raised:
        pack("memory://bucket/set", tmp_path)
    assert str(raised.value).startswith("source.path: memory://bucket/set: the image 1.png is not in a class folder")


@pytest.mark.parametrize("name", ["/bucket/set/../../x.png", "/bucket/set/a\\b.png", "/bucket/set//a.png"])
def test_names_that_lead_elsewhere_are_refused(
    tmp_path: Path, memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    memory.pipe("/bucket/set/cat/1.png", picture("1"))
    monkeypatch.setattr(type(memory), "find", lambda *_, **__: {name: {"size": 1}})
    with pytest.raises(TouchstoneError, match=r"has `\.\.`, a backslash or an empty part; rename it"):
        pack("memory://bucket/set", tmp_path)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("memory://bucket/none", "source.path: memory://bucket/none: nothing there; check the address"),
        ("file:///nowhere/at/all", "source.path: file:///nowhere/at/all: nothing there; check the address"),
        ("s4://bucket/x", "source.path: s4://bucket/x: unknown protocol s4; expected https, s3, gs"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, memory: object, path: str, said: str) -> None:
    with pytest.raises(TouchstoneError) as raised:
        pack(path, tmp_path)
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["raw0"]


def test_more_than_the_disk_holds(
    tmp_path: Path, memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/bucket/set/cat/1.png", picture("1"))
    monkeypatch.setattr(type(memory), "find", lambda *_, **__: {"/bucket/set/cat/1.png": {"size": 1 << 60}})
    with pytest.raises(TouchstoneError, match=r"1 files of 1,152,921,504,606,846,976 bytes, expected at most"):
        pack("memory://bucket/set", tmp_path)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(TouchstoneError, match=r"s3 needs a package .*; pip install 'touchstone\[s3\]'"):
        check("s3://bucket/x")

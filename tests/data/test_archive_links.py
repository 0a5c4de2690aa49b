"""Links in a tar file mean what they mean in the folder that was packed, and never lead out of it."""

import io
import shutil
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from kit.pictures import classes, lay, read
from touchstone.data.archives import members
from touchstone.data.hidden import Aside
from touchstone.data.walk import walk
from touchstone.errors import TouchstoneError
from touchstone.studies.detect import source_of
from touchstone.studies.predict_files import opened


def tarred(path: Path, suffix: str = ".tar") -> Path:
    """The folder as GNU tar packs it: the second name of a file is a hard link, and symbolic links stay links."""
    archive = path.with_name(f"{path.name}{suffix}")
    with tarfile.open(archive, {".tar": "w", ".tar.gz": "w:gz"}[suffix]) as out:  # type: ignore[call-overload]
        out.add(path, ".")
    return archive


def linked(root: Path) -> Path:
    """A folder of all links that can be followed."""
    lay(root, [*classes("train/cat", "train/dog"), *classes(".store/emu", ".store/cat"), "train/ant/"])
    (root / "train/cat/hard.png").hardlink_to(root / "train/dog/0.png")
    (root / "train/cat/soft.png").symlink_to("../dog/1.png")
    (root / "train/cat/chain.png").symlink_to("soft.png")
    (root / "train/ant/far.png").symlink_to("../.././train/emu/0.png")  # by way of a link to a folder
    (root / "train/ant/.hidden.png").symlink_to("/etc/passwd")
    (root / "train/emu").symlink_to("../.store/emu")
    (root / "test").symlink_to(".store")
    (root / ".store/dog").symlink_to("emu")
    (root / ".rifle").mkdir()
    (root / ".rifle/0.png").symlink_to("../train/cat/0.png")
    return root


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_folder_and_its_tar_give_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    root = linked(tmp_path / "in")
    archive = tarred(root, suffix)
    found, texts = read(root, tmp_path / "raw")
    again, texts_again = read(archive, tmp_path / "raw-of-tar")
    assert found == again
    assert found["train/cat/hard.png"] == ("cat", "train")
    assert found["train/ant/far.png"] == ("ant", "train")
    assert found["test/dog/0.png"] == ("dog", "test")
    assert "left out hidden folders with images: .rifle (1), .store (4)" in texts[0]
    for file in ("files.zip", "manifest.csv"):
        assert (tmp_path / "raw" / file).read_bytes() == (tmp_path / "raw-of-tar" / file).read_bytes()
    assert [text for text in texts if "links to folders" not in text] == texts_again
    assert source_of(archive) == "folder"


def test_predict_reads_the_same_files(tmp_path: Path) -> None:
    root = linked(tmp_path / "in")
    with opened(root) as (images, _), opened(tarred(root)) as (again, _):
        assert {name: each() for name, each in images.items()} == {name: each() for name, each in again.items()}


def test_members_and_folders_are_those_of_the_folder(tmp_path: Path) -> None:
    root = linked(tmp_path / "in")
    (root / ".store/none").mkdir()
    aside = Aside()
    entries = list(walk(root))
    found = dict(members(tarred(root), max_files=99, max_bytes=10**6, aside=aside))
    assert found == {each.name: each.path.read_bytes() for each in entries if not each.is_folder}
    assert sorted(aside.directories) == [each.name for each in entries if each.is_folder]


@pytest.mark.parametrize(
    ("links", "said"),
    [
        ({"a": "/etc/passwd"}, "a: is a link to '/etc/passwd', which leads out of the archive"),
        ({"a": "../up"}, "a: is a link to '../up', which leads out of the archive"),
        ({"b/a": "../fine/../../x"}, "b/a: is a link to '../fine/../../x', which leads out of the archive"),
        ({"a": "gone"}, "a: is a link to 'gone', where there is nothing in the archive"),
        ({"a": "b", "b": "a"}, "a: is a link to 'b', which leads in a circle"),
        ({"a": "a"}, "a: is a link to 'a', which leads in a circle"),
        ({"b/a": ".."}, "b/a: is a link to '..', a folder that holds the link"),
        ({"b/a": "."}, "b/a: is a link to '.', a folder that holds the link"),
        ({"b/a": "../c", "c/a": "../b"}, "c/a: is a link to '../b', a folder that holds the link"),
        ({"a": "fine", "a/b": "fine"}, "a: two members have this name"),
    ],
)
def test_links_that_lead_nowhere_out_or_in_a_circle_are_one_line(
    tmp_path: Path, links: dict[str, str], said: str
) -> None:
    with pytest.raises(TouchstoneError) as raised:
        unpack(packed(tmp_path / "x.tar", links))
    assert str(raised.value).startswith(f"{tmp_path / 'x.tar'}: {said}")
    assert "; " in str(raised.value)
    assert "\n" not in str(raised.value)


def packed(path: Path, links: dict[str, str], size: int = 5) -> Path:
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("fine")
        entry.size = size
        archive.addfile(entry, io.BytesIO(bytes(size)))
        for name, target in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return path


def unpack(path: Path, max_files: int = 100, max_bytes: int = 1000) -> list[tuple[str, bytes]]:
    return list(members(path, max_files=max_files, max_bytes=max_bytes))


def test_a_hard_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        entry = tarfile.TarInfo("a")
        entry.type, entry.linkname = tarfile.LNKTYPE, "../x"
        archive.addfile(entry)
    with pytest.raises(TouchstoneError, match=r"a: is a link to '../x', which leads out of the archive"):
        unpack(tmp_path / "x.tar")


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar")
def test_the_archives_of_tar_itself(tmp_path: Path) -> None:
    root = linked(tmp_path / "in")
    command = ["tar", "-czf", tmp_path / "in.tar.gz", "-C", root, "./train", "test", ".store", "train/cat/hard.png"]
    subprocess.run(command, check=True)
    found = dict(members(tmp_path / "in.tar.gz", max_files=99, max_bytes=10**6))
    assert found == {each.name: each.path.read_bytes() for each in walk(root) if not each.is_folder}


def test_what_links_mean_counts_as_files_and_bytes(tmp_path: Path) -> None:
    path = packed(tmp_path / "x.tar", {"a": "fine", "b": "fine"}, size=5)
    assert unpack(path, max_files=3, max_bytes=15) == [(name, bytes(5)) for name in ("fine", "a", "b")]
    with pytest.raises(TouchstoneError, match="unpacks to more than the bytes allowed"):
        unpack(path, max_bytes=14)
    with pytest.raises(TouchstoneError, match="more than 2 files"):
        unpack(path, max_files=2)


def test_a_bomb_of_links_to_folders_is_not_followed(tmp_path: Path) -> None:
    links = {f"{depth}/{side}": f"../{depth + 1}" for depth in range(60) for side in "ab"} | {"60/a": "../fine"}
    path = packed(tmp_path / "x.tar", links)
    tracemalloc.start()
    with pytest.raises(TouchstoneError, match="links in the archive lead to more than 100 files"):
        unpack(path)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()

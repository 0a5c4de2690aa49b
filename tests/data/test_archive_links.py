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
from touchstone.data.image_files import opened
from touchstone.data.walk import walk
from touchstone.errors import TouchstoneError
from touchstone.studies.detect import source_of


def tarred(path: Path, suffix: str = ".tar") -> Path:
    """The folder as GNU tar packs it: the second name of a file is a hard link, and symbolic links stay links."""
    archive = path.with_name(f"{path.name}{suffix}")
    with tarfile.open(archive, {".tar": "w", ".tar.gz": "w:gz"}[suffix]) as out:  # type: ignore[call-overload]
        out.add(path, ".")
    return archive


def linked(root: Path) -> Path:
    """A folder of all links that can be followed."""
    lay(root, [*classes("train/cat", "train/dog"), *classes(".store/emu", ".store/cat"), "train/ant/"])
    lay(root, [".store/emu/.old/a/2.png", ".store/emu/.old/note.txt", ".store/emu/.3.png"])
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
    listed = ".rifle (1), .store (6), test/dog/.old (1), test/emu/.old (1), train/emu/.old (1)"
    assert f"left out hidden folders with images: {listed};" in texts[0]
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
    twice = ["train/cat/hard.png", "train/cat/soft.png"]
    command = ["tar", "-czf", tmp_path / "in.tar.gz", "-C", root, "./train", "test", ".store", *twice]
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


def test_members_that_are_no_files_count_too(tmp_path: Path) -> None:
    """Hidden links were kept without limit: 20 million of them take 10 MB packed."""
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE):
        with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
            for number in range(1000):
                entry = tarfile.TarInfo(f".{number}")
                entry.type, entry.linkname = kind, "fine"
                archive.addfile(entry)
        with pytest.raises(
            TouchstoneError, match=r"\.60: the archive holds more than 60 files, folders and links; unp"
        ):
            unpack(tmp_path / "x.tar.gz", max_files=20)


def test_hidden_files_behind_links_count_too(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", ["fine.png", *classes(".store/.old", count=4)])
    for name in "abc":
        (root / name).symlink_to(".store")
    with pytest.raises(TouchstoneError, match="links in the archive lead to more than 8 files"):
        unpack(tarred(root), max_files=8, max_bytes=10**6)


@pytest.mark.parametrize(
    ("name", "target", "said"),
    [
        ("a", "b/" * 500_000 + "b", "a: a link to a path of 1,000,001 characters, expected 4,096 at most; pack the"),
        ("a/" * 40_000 + "a", "fine", f"{'a/' * 20}...: a name of 80,001 characters, expected 4,096 at most; pack the"),
    ],
)
def test_a_path_is_no_longer_than_a_system_allows(tmp_path: Path, name: str, target: str, said: str) -> None:
    """Following a path takes the square of its length."""
    path = packed(tmp_path / "x.tar", {name: target})
    with pytest.raises(TouchstoneError) as raised:
        unpack(path)
    assert str(raised.value).startswith(f"{path}: {said}")
    assert len(str(raised.value)) < 500


def test_the_names_in_memory_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "x.tar", {"a/b/c/d": "../../../fine"})
    assert len(unpack(path)) == 2
    for most in (30, 15):  # the folders around a link, and the link itself
        monkeypatch.setattr("touchstone.data.archive_links.MAX_CHARS", most)
        with pytest.raises(TouchstoneError, match=rf"the names in the archive have more than {most} characters in all"):
            unpack(path)


def test_a_link_with_two_targets_is_refused_like_a_file_with_two_contents(tmp_path: Path) -> None:
    for kind, target in ((tarfile.SYMTYPE, "fine"), (tarfile.SYMTYPE, "b"), (tarfile.LNKTYPE, "./b")):
        with tarfile.open(packed(tmp_path / "x.tar", {"a": "fine"}), "a") as archive:
            entry = tarfile.TarInfo("a")
            entry.type, entry.linkname = kind, target
            archive.addfile(entry)
        if target == "fine":
            assert [name for name, _ in unpack(tmp_path / "x.tar")] == ["fine", "a"]
        else:
            with pytest.raises(TouchstoneError, match="a: two members have this name; pack the archive again"):
                unpack(tmp_path / "x.tar")


def test_a_path_that_links_make_too_long_is_not_followed(tmp_path: Path) -> None:
    """It goes down to a path of more than 4,096 characters, where there is nothing, and up again."""
    far = {f"{'b/' * 1500}l": f"{'b/' * 700}{'../' * 800}g", f"{'b/' * 1400}g": f"{'../' * 700}g"}
    links = far | {f"{'b/' * 700}g": f"{'../' * 700}fine"}
    with pytest.raises(TouchstoneError, match="where there is nothing in the archive"):
        unpack(packed(tmp_path / "x.tar", links))

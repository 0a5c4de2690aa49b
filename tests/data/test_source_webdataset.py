import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from kit.images import picture
from touchstone.config.schema.data import Columns
from touchstone.data import findings
from touchstone.data.sources import webdataset
from touchstone.errors import TouchstoneError


def shard(file: Path, members: dict[str, bytes | str]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w:gz" if file.suffix == ".gz" else "w") as archive:
        for name, content in members.items():
            content = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file


def download(tmp_path: Path, path: Path, **columns: str) -> Path:
    raw = tmp_path / f"raw{len(list(tmp_path.glob('raw*')))}"
    raw.mkdir()
    webdataset.download(to=raw, path=path, mirror="", columns=Columns(**columns))
    return raw


def rows(tmp_path: Path, path: Path, **columns: str) -> list[tuple[str, str, str]]:
    return [(i.file, i.label, i.split) for i in webdataset.read(download(tmp_path, path, **columns)).images]


def test_shards_of_splits_with_numbers_and_a_list_of_classes(tmp_path: Path) -> None:
    root = tmp_path / "in"
    shard(
        root / "train-000000.tar", {"a.jpg": picture("a", "JPEG"), "a.cls": "0\n", "b.cls": "1", "b.jpg": picture("b")}
    )
    shard(root / "train-000001.tar.gz", {"x/a.seg.png": b"", "x/a.png": picture("c"), "x/a.cls": "2"} | {})
    shard(root / "test/000.tar", {"./a.png": picture("d"), "./a.cls": "1", "c.png": picture("e"), "c.cls": "-1"})
    (root / "classes.txt").write_text("owl\nemu\nkea\n")
    assert rows(tmp_path, root) == [
        ("test/000/a.png", "emu", "test"),
        ("test/000/c.png", "", "unlabelled"),
        ("train-000000/a.jpg", "owl", "train"),
        ("train-000000/b.jpg", "emu", "train"),
        ("train-000001/x/a.png", "kea", "train"),
    ]
    raw = webdataset.read(tmp_path / "raw0")
    assert not raw.multi_label
    assert raw.pixels(0, channels=1, max_pixels=99).shape == (3, 4, 1)


@pytest.mark.parametrize("names", [("trainset-000", "testset-000"), ("TrainShards/0", "TestShards/0")])
def test_words_for_names_of_shards(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        members = {key: content for i in (0, 1) for key, content in _sample(f"{name}{i}", i).items()}
        shard(tmp_path / "in" / f"{name}.tar", members)
    got = {(file.rpartition("/")[0], split) for file, _, split in rows(tmp_path, tmp_path / "in")}
    assert got == {(names[0], "train"), (names[1], "test")}


def _sample(name: str, number: int) -> dict[str, bytes | str]:
    return {f"{number}.png": picture(name), f"{number}.cls": str(number)}


def test_arrays_are_images_where_there_is_no_other(tmp_path: Path) -> None:
    import numpy as np

    bands = np.random.default_rng(0).integers(0, 65536, (6, 8, 5), np.uint16)
    np.save(array := io.BytesIO(), bands)
    members: dict[str, bytes | str] = {"1.npy": array.getvalue(), "1.cls": "0"}
    members |= {"2.png": picture("2"), "2.npy": array.getvalue(), "2.cls": "1"}
    raw = webdataset.read(download(tmp_path, shard(tmp_path / "s.tar", members)))
    assert [image.file for image in raw.images] == ["s/1.npy", "s/2.png"]
    np.testing.assert_array_equal(raw.pixels(0, channels=5, bits=16, max_pixels=99), bands)


def test_names_numbers_and_texts_in_one_shard(tmp_path: Path) -> None:
    facts = {"label": ["x", "10"], "patient": 3, "boxes": []}
    members: dict[str, bytes | str] = {
        "1.png": picture("1"),
        "1.cls": "07",
        "1.txt": "a caption that is no label",
        "2.png": picture("2"),
        "2.json": json.dumps(facts),
        "2.txt": "a caption",
        "3.png": picture("3"),
        "3.txt": "x|y\n",
        "4.png": picture("4"),
        "5.png": picture("5"),
        "5.json": "7",
    }
    raw = webdataset.read(download(tmp_path, shard(tmp_path / "all.tar", members)))
    assert [(i.file, i.label, i.split, i.columns["patient"]) for i in raw.images] == [
        ("all/1.png", "07", "", ""),
        ("all/2.png", "10|x", "", "3"),
        ("all/3.png", "x|y", "", ""),
        ("all/4.png", "", "unlabelled", ""),
        ("all/5.png", "7", "", ""),
    ]


def test_a_key_of_the_json_is_named_in_params(tmp_path: Path) -> None:
    members: dict[str, bytes | str] = {}
    for number in (1, 2):
        members |= {f"{number}.png": picture(str(number)), f"{number}.cls": "0"}
        members |= {f"{number}.json": json.dumps({"label": "no", "kind": f"k{number}"})}
    path = shard(tmp_path / "a.tar", members)
    assert [label for _, label, _ in rows(tmp_path, path, label="kind")] == ["k1", "k2"]
    with pytest.raises(TouchstoneError, match=r"data.columns.label: got 'kinds', but .* did you mean kind\?"):
        download(tmp_path, path, label="kinds")


PLAIN: dict[str, bytes | str] = {"1.png": picture("1"), "1.cls": "a", "2.png": picture("2"), "2.cls": "b"}


@pytest.mark.parametrize(
    ("shards", "said"),
    [
        ({}, "no shards in it, expected files such as train-000000.tar"),
        ({"a.tar": {"1.cls": "0"}}, "a.tar: 1: got .cls, expected one image for each key"),
        ({"a.tar": {"1.png": b"x", "1.jpg": b"x"}}, "1: got .png, .jpg, expected one image for each key"),
        ({"a.tar": PLAIN | {"1.cls": b"\xff"}}, "1: not UTF-8 or not JSON"),
        ({"a.tar": {"1.json": "{"} | PLAIN}, "1: not UTF-8 or not JSON"),
        ({"a.tar": PLAIN | {"1.cls": "a| b"}}, "1: got the class name ' b'"),
        ({"a.tar": PLAIN | {"../3.png": b"x"}}, "../3.png: the name is absolute, or holds `..`"),
        ({"train.tar": PLAIN, "more.tar": PLAIN}, "more.tar names no split, train.tar does"),
        ({"a.tar": {"1.png": b"x", "1.cls": "a"}}, "every image is a, so there is nothing to learn"),
        ({"a.tar": {"1.png": b"x"}}, "no image has a label"),
        ({"a.tar": {"1.png": b"x", "1.cls": "0", "2.png": b"y", "1.txt": "x"}}, "1: got .txt, expected one image"),
    ],
)
def test_a_bad_shard_is_refused_in_one_line(tmp_path: Path, shards: dict[str, dict], said: str) -> None:
    (tmp_path / "in").mkdir()
    for name, members in shards.items():
        shard(tmp_path / "in" / name, members)
    with pytest.raises(TouchstoneError) as raised:
        download(tmp_path, tmp_path / "in")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "raw0").iterdir())


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("a\na\n", "classes.txt, line 2: a is listed twice"),
        ("a\n", "2: got the class number 1, expected 0 to 0"),
        ("\n", "classes.txt, line 1: got the class name ''"),
    ],
)
def test_a_bad_list_of_classes(tmp_path: Path, lines: str, said: str) -> None:
    members: dict[str, bytes | str] = {"1.png": b"x", "1.cls": "0", "2.png": b"y", "2.cls": "1"}
    shard(tmp_path / "in/a.tar", members)
    (tmp_path / "in/classes.txt").write_text(lines)
    with pytest.raises(TouchstoneError) as raised:
        download(tmp_path, tmp_path / "in")
    assert said in str(raised.value)


def test_links_to_shards_and_their_folders_are_followed(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    for split in ("train", "test"):
        shard(plain / split / "a.tar", {f"{split}{key}": value for key, value in PLAIN.items()})
    linked = tmp_path / "linked"
    (linked / "train").mkdir(parents=True)
    (linked / "train/a.tar").symlink_to(plain / "train/a.tar")  # as DVC's cache.type symlink leaves it
    (linked / "test").symlink_to(plain / "test")
    raws = [download(tmp_path, path) for path in (plain, linked)]
    assert len(webdataset.read(raws[0]).images) == 4
    for name in ("files.zip", "manifest.csv"):
        assert raws[0].joinpath(name).read_bytes() == raws[1].joinpath(name).read_bytes()
    assert not (raws[0] / "findings.csv").exists()
    assert findings.read(raws[1] / "findings.csv")[0].text.startswith("test: links to folders, in which DVC notices")


def test_links_that_lead_nowhere_or_in_a_circle_are_refused(tmp_path: Path) -> None:
    shard(tmp_path / "in/a.tar", PLAIN)
    link = tmp_path / "in/b.tar"
    for target, said in (("nowhere", "where there is nothing to read"), ("../in", "a folder that holds the link")):
        link.symlink_to(target)
        with pytest.raises(TouchstoneError, match=rf"source.path: .*in: b\.tar is a link to {target}, {said}"):
            download(tmp_path, tmp_path / "in")
        link.unlink()
    link.mkdir()
    with pytest.raises(TouchstoneError, match=r"b\.tar is a folder; put the shard itself there"):
        download(tmp_path, tmp_path / "in")
    with pytest.raises(TouchstoneError, match="nowhere: does not exist"):
        download(tmp_path, tmp_path / "nowhere")


def test_hidden_folders_in_and_beside_shards_are_told(tmp_path: Path) -> None:
    shard(tmp_path / "in/a.tar", PLAIN | {".22 rifle/3.png": picture("3")})
    (tmp_path / "in/.old").mkdir()
    (tmp_path / "in/.old/1.png").write_bytes(b"")
    told = findings.read(download(tmp_path, tmp_path / "in") / "findings.csv")
    assert [each.text.partition(";")[0] for each in told] == [
        "left out hidden folders with images: .22 rifle (1), .old (1)"
    ]


def test_a_list_of_classes_beside_one_shard(tmp_path: Path) -> None:
    members: dict[str, bytes | str] = {"1.png": picture("1"), "1.cls": "0", "2.png": picture("2"), "2.cls": "1"}
    file = shard(tmp_path / "in/a.tar", members)
    (tmp_path / "in/classes.txt").write_text("owl\nemu\n")
    assert rows(tmp_path, file) == rows(tmp_path, file.parent) == [("a/1.png", "owl", ""), ("a/2.png", "emu", "")]
    told = findings.read(tmp_path / "raw0/findings.csv")
    assert told[0].text.startswith("classes.txt beside it names the classes; DVC notices no change there")


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_shard_with_links_names_the_option_of_tar(tmp_path: Path, suffix: str) -> None:
    """A folder in which equal files are hard-linked: links come after all files, so samples were torn."""
    root = tmp_path / "in"
    root.mkdir()
    for name, content in PLAIN.items():
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (root / "3.png").write_bytes(picture("3"))
    (root / ".4.cls").symlink_to("1.cls")
    for target, make in ((root / "2.cls", Path.hardlink_to), (Path("2.cls"), Path.symlink_to)):
        make(root / "3.cls", target)
        path = packed(tmp_path / f"s{suffix}", root, twice="1.png")
        with pytest.raises(TouchstoneError) as raised:
            download(tmp_path, path)
        said = rf"{path}: 3\.cls: is a link to '2\.cls', but files .* with `tar --dereference --hard-dereference`"
        assert re.fullmatch(said, str(raised.value))
        (root / "3.cls").unlink()
    (root / "3.cls").write_text("b")
    path = packed(tmp_path / f"s{suffix}", root, twice="1.png")
    assert [label for _, label, _ in rows(tmp_path, path)] == ["a", "b", "b"]


def packed(file: Path, root: Path, *, twice: str) -> Path:
    """The shard of a folder, with a second mention of one file, which tar writes as a hard link to itself."""
    with tarfile.open(file, "w:gz" if file.suffix == ".gz" else "w") as archive:
        for path in sorted(root.iterdir()):
            archive.add(path, path.name)
        again = tarfile.TarInfo(twice)
        again.type, again.linkname = tarfile.LNKTYPE, twice
        archive.addfile(again)
    return file

"""PASCAL VOC's layout: labels from annotations or class lists, official splits, and what is refused."""

import hashlib
import json
import shutil
import tarfile
import threading
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kit.project import ROOT
from touchstone.config.load import load as load_params
from touchstone.config.schema.data import MultiLabel
from touchstone.data import split_table
from touchstone.data.imageset import load
from touchstone.data.labels import encode
from touchstone.data.prepare import prepare
from touchstone.data.sources import voc, voc2007, voc2012
from touchstone.data.sources._annotations import Thing, things
from touchstone.errors import TouchstoneError

OBJECT = "<object><name>{}</name><difficult>{}</difficult><part><name>head</name></part></object>"
BOMB = (
    b'<!DOCTYPE a [<!ENTITY b "boom"><!ENTITY c "&b;&b;">]><annotation><object><name>&c;</name></object></annotation>'
)


def annotation(*objects: tuple[str, int]) -> str:
    return f"<annotation>{''.join(OBJECT.format(*each) for each in objects)}</annotation>"


IMAGES = {
    "one": annotation(("dog", 0), ("dog", 0), ("cat", 1)),
    "two": annotation(("cat", 0), ("cat", 1)),
    "three": annotation(),
    "four": annotation(("dog", 0)),
    "five": annotation(("cat", 0), ("dog", 0)),
}
LISTS = {"train": ["one", "two"], "val": ["three"], "trainval": ["one", "two", "three", "four"], "test": ["five"]}


def made(root: Path, *, annotations: bool = True) -> Path:
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for i, (name, text) in enumerate(IMAGES.items()):
        Image.fromarray(np.full((8, 9, 3), 40 * i, np.uint8)).save(root / f"JPEGImages/{name}.jpg")
        (root / f"Annotations/{name}.xml").write_text(text)
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(root / "JPEGImages/unlisted.jpg")
    for name, ids in LISTS.items():
        (root / f"ImageSets/Main/{name}.txt").write_text("\n".join(ids) + "\n")
    if not annotations:
        for file in [*(root / "Annotations").iterdir()]:
            file.unlink()
        (root / "Annotations").rmdir()
        (root / "ImageSets/Main/dog_trainval.txt").write_text("one  1\ntwo -1\nthree -1\nfour 1\n")
        (root / "ImageSets/Main/dog_test.txt").write_text("five 1\n")
        (root / "ImageSets/Main/cat_trainval.txt").write_text("one  0\ntwo  1\nthree -1\nfour -1\n")
        (root / "ImageSets/Main/cat_test.txt").write_text("five 1\n")
    return root


def packed(root: Path, to: Path):
    to.mkdir()
    voc.download(to=to, path=root, mirror="")
    return voc.read(raw=to)


@pytest.mark.parametrize("annotations", [True, False])
def test_labels_and_splits(tmp_path: Path, annotations: bool) -> None:
    raw = packed(made(tmp_path / "VOCdevkit/VOC1", annotations=annotations).parent, tmp_path / "raw")
    found = {image.file: (image.split, image.label, image.difficult) for image in raw.images}
    assert found == {
        "one.jpg": ("train", "dog", "cat"),
        "two.jpg": ("train", "cat", ""),
        "three.jpg": ("val", "", ""),
        "four.jpg": ("train", "dog", ""),
        "five.jpg": ("test", "cat|dog", ""),
    }
    assert raw.classes == ["cat", "dog"]
    assert raw.pixels(0, channels=3, max_pixels=100).shape == (8, 9, 3)


def test_the_same_bytes_again(tmp_path: Path) -> None:
    root = made(tmp_path / "data")
    for name in ("a", "b"):
        packed(root, tmp_path / name)
    for file in ("files.zip", "manifest.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_an_annotation_has_objects_and_no_parts() -> None:
    text = annotation(("dog", 0), ("cat", 1)).encode()
    assert things(text, file="x") == [Thing("dog", False), Thing("cat", True)]
    assert things(b"<annotation><object><name> a b </name></object></annotation>", file="x") == [Thing("a b", False)]


@pytest.mark.parametrize(
    ("xml", "part"),
    [
        (BOMB, "declares a document type"),
        (BOMB.decode().encode("utf-16"), "declares a document type"),
        (b"<annotation><object><name>dog</na", "not well-formed XML"),
        (b"", "not well-formed XML (no element found"),
        (b"<annotation><object><name>&x;</name></object></annotation>", "not well-formed XML (undefined entity"),
        (b"<annotation><object><pose/></object></annotation>", "an object has no name"),
        (b'<?xml version="1.0" encoding="foo"?><annotation/>', "not well-formed XML"),
        (b'<?xml version="1.0" encoding="big5"?><annotation>\xff</annotation>', "not well-formed XML"),
        (b"<html></html>", "got <html>, expected <annotation>"),
        (b" " * (1 << 22) + b"<annotation/>", "at most 4,194,304"),
    ],
)
def test_bad_annotations_are_one_line(xml: bytes, part: str) -> None:
    with pytest.raises(TouchstoneError) as caught:
        things(xml, file="a/x.xml")
    assert str(caught.value).startswith("a/x.xml: ")
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def spoil(root: Path, file: str, text: str | None) -> None:
    if text is None:
        (root / file).unlink()
    else:
        (root / file).write_text(text)


@pytest.mark.parametrize(
    ("file", "text", "parts"),
    [
        ("ImageSets/Main/train.txt", "one\ngone\n", ["the list train names gone, which is not in JPEGImages"]),
        ("ImageSets/Main/test.txt", "five one", ["one is listed in train and in test"]),
        ("ImageSets/Main/trainval.txt", "five", ["five is listed in test and in trainval"]),
        ("Annotations/two.xml", None, ["Annotations/two.xml: no such file, but the lists name two"]),
        ("Annotations/two.xml", annotation(("a|b", 0)), ["got the class name 'a|b', expected one without |"]),
        ("Annotations/two.xml", "<annotation>", ["two.xml: not well-formed XML"]),
        ("ImageSets/Main/dog_train.txt", "one 1", ["unknown class 'cat', expected one of dog"]),
    ],
)
def test_bad_layouts_are_one_line(tmp_path: Path, file: str, text: str | None, parts: list[str]) -> None:
    root = made(tmp_path / "data")
    spoil(root, file, text)
    with pytest.raises(TouchstoneError) as caught:
        packed(root, tmp_path / "raw")
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)
    assert not list((tmp_path / "raw").iterdir()), "nothing half-written"


def test_other_layouts_are_refused(tmp_path: Path) -> None:
    for text, act in (
        ("no folder JPEGImages", lambda root: (root / "JPEGImages").rename(root / "Images")),
        ("several data sets", lambda root: made(root.parent / "other")),
        ("neither Annotations nor", lambda root: (root / "Annotations").rename(root / "annotations")),
        ("no list ImageSets/Main/train.txt", lambda root: (root / "ImageSets").rename(root / "lists")),
    ):
        space = tmp_path / text.replace("/", " ")
        act(made(space / "one"))
        with pytest.raises(TouchstoneError, match=text):
            packed(space, space / "raw")
    lists = made(tmp_path / "lists", annotations=False)
    (lists / "ImageSets/Main/cat_test.txt").write_text("five maybe\n")
    with pytest.raises(TouchstoneError, match=r"cat_test.txt, line 1: got 'five maybe', expected an id and 1, 0 or -1"):
        packed(lists, tmp_path / "raw")
    for text, said in (
        ("", "no list of class cat names five"),
        ("five 1\nfive 0\n", "line 2: five has 0, and 1 before"),
    ):
        (lists / "ImageSets/Main/cat_test.txt").write_text(text)
        with pytest.raises(TouchstoneError, match=said):
            packed(lists, tmp_path / said)
    (lists / "ImageSets/Main/cat_test.txt").write_text("five 1\n")
    (lists / "JPEGImages/five.png").write_bytes((lists / "JPEGImages/five.jpg").read_bytes())
    with pytest.raises(TouchstoneError, match=r"has five\.jpg and five\.png"):
        packed(lists, tmp_path / "twice")


def test_blood_cells(test_data: Path, tmp_path: Path) -> None:
    """BCCD has 292 images in trainval and 72 in test, of which 3 show no red cell and 4 no white one."""
    raw = packed(test_data / "bccd_voc", tmp_path / "raw")
    assert raw.classes == ["Platelets", "RBC", "WBC"]
    assert Counter(image.split for image in raw.images) == {"train": 205, "val": 87, "test": 72}
    lacking = Counter(name for i in raw.images if i.split == "test" for name in raw.classes if name not in i.labels)
    assert (lacking["RBC"], lacking["WBC"]) == (3, 4)


def prepared(root: Path, **changes) -> tuple[dict[str, object], Path]:
    """The summary of preparing the images above, and the folder of the result."""
    settings = load_params(ROOT / "params.yaml").data
    settings = settings.model_copy(update={"val_fraction": 0.0, "train_size": 0, "channels": 3})
    to = root / f"prepared {changes}"
    raw = packed(made(root / f"data {changes}"), root / f"raw {changes}")
    return prepare(raw, data=settings, multi_label=MultiLabel(**changes), to=to, sheet_size=4), to


def labels(folder: Path) -> dict[str, list[float]]:
    """File stem -> its labels cat, dog as numbers."""
    meta = json.loads((folder / "meta.json").read_text())
    files = pd.read_csv(folder / "files.csv", keep_default_na=False)
    out = {}
    for split in ("train", "val", "test"):
        names = files.loc[files["split"] == split, "file"]
        numbers = encode(load(folder / split).table, meta).tolist()
        out |= dict(zip((name.removesuffix(".jpg") for name in names), numbers, strict=True))
    return out


@pytest.mark.parametrize(("difficult", "one"), [("ignore", [0, 1]), ("count", [1, 1]), ("mark", [np.nan, 1])])
def test_difficult_objects_are_ignored_counted_or_marked(tmp_path: Path, difficult: str, one: list[float]) -> None:
    # Its only validation image has no label, and a split without labels cannot be scored.
    LISTS["val"], LISTS["train"] = [], ["one", "two", "three"]
    try:
        summary, to = prepared(tmp_path, difficult=difficult)
    finally:
        LISTS["val"], LISTS["train"] = ["three"], ["one", "two"]
    assert json.loads((to / "meta.json").read_text())["multi_label"] is True
    found = labels(to)
    assert np.array_equal(found.pop("one"), one, equal_nan=True)
    assert found == {"two": [1, 0], "three": [0, 0], "four": [0, 1], "five": [1, 1]}
    assert summary["num_without_label_train"] == 1
    counts = pd.read_csv(to / "findings/counts.csv").set_index("class")
    assert counts.loc["cat"].tolist() == [1 + (difficult == "count"), 0, 1]


def test_images_without_a_label_are_kept_or_dropped(tmp_path: Path) -> None:
    with pytest.raises(TouchstoneError, match="no image of the val split has a label"):
        prepared(tmp_path)
    summary, to = prepared(tmp_path, without_label="drop")
    assert summary["num_without_label_dropped"] == 1
    assert "three" not in labels(to)
    assert "no label" in (to / "findings/left_out.csv").read_text()


def test_training_images_are_capped_by_their_ids_alone(tmp_path: Path) -> None:
    """Taking label sets in turn would favour those that come first in the alphabet."""
    table = pd.DataFrame({"id": [f"{i:02}" for i in range(8)], "label": ["z", "a|b", "a|c", "z", "z", "a", "b", "c"]})
    table = table.assign(split="train", left_out="", file=table["id"])
    split_table.draw_training(table, 4, draws=1, multi_label=True)
    assert table["left_out"].tolist() == [""] * 4 + ["over data.train_size"] * 4


def archived(folder: Path, name: str, year: str, *, ids: tuple[str, ...], lists: dict[str, list[str]]) -> str:
    """Write an archive in the form of the official ones and return its md5."""
    whole = made(folder / f"{name}-all")
    root = folder / f"{name}-root/VOCdevkit/VOC{year}"
    for part in ("JPEGImages", "Annotations", "ImageSets/Main", "SegmentationClass"):
        (root / part).mkdir(parents=True)
    for image in ids:
        shutil.copy(whole / f"JPEGImages/{image}.jpg", root / "JPEGImages")
        shutil.copy(whole / f"Annotations/{image}.xml", root / "Annotations")
    (root / "SegmentationClass/one.png").write_bytes(b"of no use here")
    for split, listed in lists.items():
        (root / f"ImageSets/Main/{split}.txt").write_text("\n".join(listed) + "\n")
    (folder / "archives").mkdir(exist_ok=True)
    with tarfile.open(folder / f"archives/{name}", "w") as tar:
        tar.add(folder / f"{name}-root/VOCdevkit", arcname="VOCdevkit")
    return hashlib.md5((folder / f"archives/{name}").read_bytes()).hexdigest()


def test_official_archives_are_checked_and_their_lists_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = {"train": ["one", "two"], "val": ["three"], "trainval": ["one", "two", "three"]}
    made_of = {
        "VOCtrainval_06-Nov-2007.tar": (("one", "two", "three"), first),
        "VOCtest_06-Nov-2007.tar": (("five",), {"test": ["five"]}),
    }
    sums = {n: archived(tmp_path, n, "2007", ids=ids, lists=lists) for n, (ids, lists) in made_of.items()}
    folder = tmp_path / "archives"
    (tmp_path / "wrong").mkdir()
    with pytest.raises(TouchstoneError, match=f"got md5 {sums['VOCtrainval_06-Nov-2007.tar']}, expected c52e2795"):
        voc2007.download(to=tmp_path / "wrong", path=Path(), mirror=str(folder))
    assert not list((tmp_path / "wrong").iterdir())
    monkeypatch.setattr(voc2007, "ARCHIVES", {f"voc2007/{name}": md5 for name, md5 in sums.items()})
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        for name, mirror in (("a", str(folder)), ("b", f"http://127.0.0.1:{server.server_port}")):
            (tmp_path / name).mkdir()
            voc2007.download(to=tmp_path / name, path=Path(), mirror=mirror)
        server.shutdown()
    assert (tmp_path / "a/files.zip").read_bytes() == (tmp_path / "b/files.zip").read_bytes()
    splits = {image.file: image.split for image in voc2007.read(raw=tmp_path / "a").images}
    assert splits == {"one.jpg": "train", "two.jpg": "train", "three.jpg": "val", "five.jpg": "test"}
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == [], "no temporary files stay"


def test_voc2012_takes_the_val_list_as_its_test_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "VOCtrainval_11-May-2012.tar"
    lists = {"train": ["one", "two"], "val": ["five"], "trainval": ["one", "two", "five"]}
    md5 = archived(tmp_path, name, "2012", ids=("one", "two", "five"), lists=lists)
    monkeypatch.setattr(voc2012, "ARCHIVES", {f"voc2012/{name}": md5})
    for to, mirror in (("a", tmp_path / "archives"), ("b", tmp_path / f"{name}-root")):
        (tmp_path / to).mkdir()
        voc2012.download(to=tmp_path / to, path=Path(), mirror=str(mirror))
    splits = {image.file: image.split for image in voc2012.read(raw=tmp_path / "a").images}
    assert splits == {"one.jpg": "train", "two.jpg": "train", "five.jpg": "test"}
    assert (tmp_path / "a/manifest.csv").read_bytes() == (tmp_path / "b/manifest.csv").read_bytes(), "unpacked as well"


def test_a_users_own_lists_are_not_class_lists(tmp_path: Path) -> None:
    root = made(tmp_path / "data")
    (root / "ImageSets/Main/my_train.txt").write_text("one\ntwo\n")
    (root / "ImageSets/Main/train.txt").write_text("\ufeffone\ntwo\n", encoding="utf-8")
    assert packed(root, tmp_path / "raw").classes == ["cat", "dog"]

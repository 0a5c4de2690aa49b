"""PASCAL VOC's layout: labels from annotations or class lists, official splits, and what is refused."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT
from touchstone import params
from touchstone.errors import TouchstoneError
from touchstone.preparation import prepare
from touchstone.sources import voc
from touchstone.sources._annotations import Thing, things

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
        (b'<?xml version="1.0" encoding="big5"?><annotation/>', "not well-formed XML"),
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
        ("Annotations/two.xml", annotation(("a|b", 0)), ["the class name 'a|b' holds |"]),
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
    """BCCD: 292 images of trainval, 72 of test, of which 3 have no red cell and 4 no white one."""
    raw = packed(test_data / "bccd_voc", tmp_path / "raw")
    assert raw.classes == ["Platelets", "RBC", "WBC"]
    assert Counter(image.split for image in raw.images) == {"train": 205, "val": 87, "test": 72}
    lacking = Counter(name for i in raw.images if i.split == "test" for name in raw.classes if name not in i.labels)
    assert (lacking["RBC"], lacking["WBC"]) == (3, 4)


def test_training_on_several_labels_is_refused_plainly(tmp_path: Path) -> None:
    raw = packed(made(tmp_path / "data"), tmp_path / "raw")
    settings = params.load(ROOT / "params.yaml").data
    with pytest.raises(TouchstoneError, match=r"3 images have no label or several, five.jpg for one"):
        prepare(raw, data=settings, to=tmp_path / "prepared", sheet_size=4)

"""Images whose names do not say that they are some: cameras', downloads', and those with another's suffix."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kit.pictures import both, classes, lay, picture, read
from touchstone.data.decode import decode
from touchstone.data.recognise import is_image_content, may_be_image
from touchstone.data.sources import load_source
from touchstone.errors import TouchstoneError


def named(root: Path, *names: str, format: str = "PNG") -> Path:
    """Write pictures under names that have no suffix or another one."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture(name).save(root / name, format)
    return root


def reader(content: bytes) -> Callable[..., bytes]:
    return lambda *, most=-1: content if most < 0 else content[:most]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM", "JPEG2000", "ICO"])
def test_formats_are_known_by_their_content(format: str) -> None:
    file = io.BytesIO()
    picture("x", 16).save(file, format)
    assert is_image_content(reader(file.getvalue()))


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"P1 patient 7 has a cough", b"BM is how some texts begin, and so on", b"II*\0", b"\xff\xd8\xff"),
        *(b"<html>404</html>", b"%!PS-Adobe-3.0 EPSF-3.0", b"\x89PNG\r\n", b"a" * 500, b"GIF89a", bytes(1000)),
    ],
)
def test_what_only_begins_like_an_image_is_none(content: bytes) -> None:
    assert not is_image_content(reader(content))


DAMAGED = {
    "PNG": (33, b"\0\0\0\3tEXtk\0v" + b"none"),  # a text with a wrong sum, behind the header
    "JPEG": (2, b"\xff\xed\0\x16Photoshop 3.0\x008BIM\3\xed"),
}


@pytest.mark.parametrize("format", DAMAGED)
def test_damaged_metadata_do_not_hide_an_image(tmp_path: Path, format: str) -> None:
    file = io.BytesIO()
    picture("x").save(file, format)
    at, damage = DAMAGED[format]
    content = file.getvalue()[:at] + damage + file.getvalue()[at:]
    assert decode(io.BytesIO(content), channels=3, max_pixels=100).shape == (8, 8, 3)
    assert is_image_content(reader(content))
    assert not is_image_content(reader(content[: at + len(damage)]))
    root = lay(tmp_path / "in", classes("cat", "dog"))
    (root / "cat/IMG_0001").write_bytes(content)
    found, said = both(root, tmp_path)
    assert found["cat/IMG_0001"] == ("cat", "")
    assert said == ["took 1 file without a suffix (cat/IMG_0001) as images, by their content"]


def test_names_that_say_what_a_file_is_are_believed() -> None:
    assert all(may_be_image(name) for name in ("IMG_0001", "a/picture.dat", "x.JPG", "photo.2019", "a.b/c"))
    backups = ("photo.jpg.bak", "photo.jpg~", "photo.jpg_original", "photo.jpg.1", "x.tmp", "IMG_0001.THM", "x.part")
    assert not any(may_be_image(name) for name in (*backups, "x.nef", "x.dng", "x.zip", "x.tar.gz", "x.pdf"))


def test_class_folders_of_files_without_a_suffix_are_read_and_said(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", [*classes("cat", "dog"), "cat/LIESMICH.txt", "dog/notes"])
    named(root, "cat/IMG_0001", "cat/IMG_0002", "dog/picture.dat", format="JPEG")
    named(root, "cat/0.png.bak", "cat/raw.dng", format="TIFF")
    found, said = both(root, tmp_path)
    assert set(found) == {*classes("cat", "dog"), "cat/IMG_0001", "cat/IMG_0002", "dog/picture.dat"}
    assert found["cat/IMG_0001"] == ("cat", "")
    assert said == [
        "took 2 files without a suffix (cat/IMG_0001, ...) and 1 .dat file (dog/picture.dat) as images, by their "
        "content",
        "left out 1 file without a suffix (dog 1), which are not read; give those that are images their suffix, such "
        "as .jpg",
        "left out 1 .dng file (cat 1), a format that is not read; convert them to .png or .jpg",
    ]


def test_classes_that_hold_nothing_else(tmp_path: Path) -> None:
    root = named(
        tmp_path / "in", *(f"data/{split}/{name}/{i}" for split in ("train", "test") for name in "ab" for i in "12")
    )
    found, _ = both(root, tmp_path)
    assert found["train/a/1"] == ("a", "train")
    assert len(found) == 8


@pytest.mark.parametrize("name", ["cover", "train/cover", "data.bin"])
def test_a_picture_beside_the_class_folders_changes_nothing(tmp_path: Path, name: str) -> None:
    root = named(lay(tmp_path / "in", classes("train/cat", "train/dog", "test/cat", "test/dog")), name)
    found, said = both(root, tmp_path)
    assert set(found) == set(classes("train/cat", "train/dog", "test/cat", "test/dog"))
    assert not any("by their content" in each for each in said)


def test_a_suffix_of_another_format_is_no_matter(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", classes("cat", "dog"))
    named(root, "cat/png.jpg", format="PNG")
    named(root, "dog/jpeg.png", format="JPEG")
    found, said = both(root, tmp_path)
    assert {"cat/png.jpg", "dog/jpeg.png"} < set(found)
    assert said == []
    raw = load_source("folder").read(tmp_path / "raw")
    row = [image.file for image in raw.images].index("cat/png.jpg")
    assert np.array_equal(raw.pixels(row, channels=3, max_pixels=100), picture("cat/png.jpg"))


@pytest.mark.parametrize("source", ["folder", "table"])
def test_a_table_names_files_without_a_suffix(tmp_path: Path, source: str) -> None:
    root = named(tmp_path / "in", "one", "img/two", "img/three.dat")
    (root / "labels.csv").write_text("file,label\none,cat\nimg/two,dog\nimg/three.dat,dog\n")
    found, said = read(root, tmp_path / "raw", source)
    assert found == {"one": ("cat", ""), "img/two": ("dog", ""), "img/three.dat": ("dog", "")}
    assert said
    (root / "img/two").write_bytes(b"text")
    with pytest.raises(TouchstoneError, match="no image 'img/two'"):
        load_source(source).download(to=new(tmp_path), path=root, mirror="")


def test_cocos_annotations_name_files_without_a_suffix(tmp_path: Path) -> None:
    root = named(tmp_path / "in", "images/1", "images/2")
    (root / "instances.json").write_text(
        '{"images": [{"id": 1, "file_name": "1", "width": 8, "height": 8}, '
        '{"id": 2, "file_name": "2", "width": 8, "height": 8}], '
        '"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}], '
        '"annotations": [{"image_id": 1, "category_id": 1}, {"image_id": 2, "category_id": 2}]}'
    )
    found, _ = read(root, tmp_path / "raw", "coco")
    assert {name: label for name, (label, _) in found.items()} == {"images/1": "cat", "images/2": "dog"}


def test_a_large_file_is_not_read_to_be_looked_at(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", classes("cat", "dog"))
    with open(root / "cat/features.h5", "wb") as file:
        os.truncate(file.fileno(), 1 << 42)  # 4 TiB of nothing, which no memory holds
    load_source("folder").download(to=new(tmp_path), path=root, mirror="")


def new(tmp_path: Path) -> Path:
    to = tmp_path / f"new{len(list(tmp_path.iterdir()))}"
    to.mkdir()
    return to

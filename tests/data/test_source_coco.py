import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kit.images import picture
from touchstone.data import findings
from touchstone.data.sources import coco
from touchstone.errors import TouchstoneError

CATEGORIES = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]


def annotations(files: list[str], marks: list[tuple[int, int, int]]) -> dict[str, Any]:
    """The content of a file of annotations. marks: (image_id, category_id, iscrowd)."""
    return {
        "images": [{"id": number, "file_name": file} for number, file in enumerate(files)],
        "annotations": [
            {"image_id": i, "category_id": c, "iscrowd": crowd, "bbox": [0, 0, 1, 1]} for i, c, crowd in marks
        ],
        "categories": CATEGORIES,
    }


def lay(root: Path, files: dict[str, Any], images: tuple[str, ...]) -> Path:
    contents = {name: picture(name) for name in images}
    contents |= {k: v if isinstance(v, bytes) else json.dumps(v).encode() for k, v in files.items()}
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def download(tmp_path: Path, path: Path) -> Path:
    raw = tmp_path / f"raw{len(list(tmp_path.glob('raw*')))}"
    raw.mkdir()
    coco.download(to=raw, path=path, mirror="")
    return raw


def rows(tmp_path: Path, path: Path) -> list[tuple[str, str, str, str]]:
    return [(i.file, i.label, i.difficult, i.split) for i in coco.read(download(tmp_path, path)).images]


def official(root: Path) -> Path:
    """The layout of the official archives."""
    files = {
        "annotations/instances_train2017.json": annotations(
            ["1.jpg", "2.jpg", "3.jpg"], [(0, 18, 0), (0, 1, 0), (0, 18, 0), (1, 1, 1), (1, 18, 0), (2, 1, 1)]
        ),
        "annotations/instances_val2017.json": annotations(["1.jpg", "9.jpg"], [(0, 1, 0)]),
        "annotations/captions_train2017.json": {"images": [], "annotations": []},
    }
    return lay(root, files, ("train2017/1.jpg", "train2017/2.jpg", "train2017/3.jpg", "val2017/1.jpg", "val2017/9.jpg"))


def test_the_official_layout(tmp_path: Path) -> None:
    path = official(tmp_path / "in")
    assert rows(tmp_path, path) == [
        ("train2017/1.jpg", "dog|person", "", "train"),
        ("train2017/2.jpg", "dog", "person", "train"),
        ("train2017/3.jpg", "", "person", "train"),
        ("val2017/1.jpg", "person", "", "val"),
        ("val2017/9.jpg", "", "", "val"),
    ]
    raw = coco.read(tmp_path / "raw0")
    assert raw.multi_label
    assert raw.classes == ["dog", "person"]
    archive = shutil.make_archive(str(tmp_path / "packed"), "gztar", path)
    again = download(tmp_path, Path(archive))
    for name in ("files.zip", "manifest.csv"):
        assert (again / name).read_bytes() == (tmp_path / "raw0" / name).read_bytes()


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_left_out_is_found_in_the_report(
    tmp_path: Path, packed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    path = official(tmp_path / "in")
    lay(path, {}, ("more/1.jpg", "more/2.jpg", ".22 rifle/3.jpg"))
    if packed:
        path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", path))
    else:
        (path / "train2017").rename(tmp_path / "elsewhere")
        (path / "train2017").symlink_to(tmp_path / "elsewhere")
    texts = [each.text.partition(";")[0] for each in findings.read(download(tmp_path, path) / "findings.csv")]
    assert texts[:2] == [
        "left out 2 images that no annotations list: more/1.jpg, more/2.jpg",
        "left out hidden folders with images: .22 rifle (1)",
    ]
    assert [text.partition(":")[0] for text in texts[2:]] == ([] if packed else ["train2017"])
    assert f"{path}: {texts[0]}" in capsys.readouterr().out


def test_annotations_beside_the_images_of_each_split(tmp_path: Path) -> None:
    files = {
        "train/_annotations.coco.json": annotations(["1.png"], [(0, 1, 0)]),
        "valid/_annotations.coco.json": annotations(["1.png"], [(0, 18, 0)]),
        "settings.json": {"any": 1},
    }
    got = rows(tmp_path, lay(tmp_path / "in", files, ("train/1.png", "valid/1.png", "stray.png")))
    assert got == [("train/1.png", "person", "", "train"), ("valid/1.png", "dog", "", "val")]


def test_one_file_without_a_split_and_names_with_folders(tmp_path: Path) -> None:
    files = {"all.json": annotations(["a/1.png", "b/1.png"], [(0, 1, 0), (1, 18, 0)])}
    got = rows(tmp_path, lay(tmp_path / "in", files, ("images/a/1.png", "images/b/1.png")))
    assert got == [("images/a/1.png", "person", "", ""), ("images/b/1.png", "dog", "", "")]


def test_images_without_annotations_are_unlabelled(tmp_path: Path) -> None:
    unlabelled = {key: value for key, value in annotations(["2.png"], []).items() if key != "annotations"}
    files = {"train.json": annotations(["1.png"], [(0, 1, 0), (0, 18, 0)]), "image_info_test2017.json": unlabelled}
    got = rows(tmp_path, lay(tmp_path / "in", files, ("1.png", "2.png")))
    assert got == [("1.png", "dog|person", "", "train"), ("2.png", "", "", "unlabelled")]


FINE = annotations(["1.png"], [(0, 1, 0), (0, 18, 0)])


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"notes.txt": b"x"}, "no annotations in it, expected instances_*.json"),
        ({"a.json": {"images": []}}, "no annotations in it"),
        ({"a.json": b"{"}, "a.json: not JSON"),
        ({"a.json": b"[" * 100_000}, "a.json: not JSON"),
        ({"instances_a.json": {"images": []}}, "expected COCO's keys images, annotations and categories"),
        ({"a.json": annotations(["1.pgn"], [])}, "a.json: no image '1.pgn'; did you mean 1.png?; put it there"),
        ({"a.json": annotations(["../1.png"], [])}, "no image '../1.png'"),
        ({"a.json": annotations(["1.png"], [(7, 1, 0)])}, "has the image_id 7, which is not listed"),
        ({"a.json": annotations(["1.png"], [(0, 2, 0)])}, "has the category_id 2, which is not listed"),
        ({"a.json": FINE | {"images": [{"id": 0}]}}, "expected images with id and file_name"),
        ({"a.json": FINE | {"images": 3}}, "expected images with id and file_name"),
        ({"a.json": FINE | {"categories": [{"id": 1, "name": "a|b"}]}}, "got the class name 'a|b'"),
        ({"a.json": annotations(["1.png"], [])}, "no image has a label"),
        ({"a.json": annotations(["1.png"], [(0, 1, 0)])}, "every image is person, so there is nothing to learn"),
        ({"a.json": annotations(["1.png", "1.png"], [(0, 1, 0)])}, "1.png is listed twice"),
        ({"train.json": FINE, "more.json": FINE}, "more.json names no split, train.json does"),
        ({"a.json": annotations(["x.png"], [])}, "x.png may be b/x.png or c/x.png; write the folder into file_name"),
    ],
)
def test_bad_annotations_are_refused_in_one_line(tmp_path: Path, files: dict[str, Any], said: str) -> None:
    path = lay(tmp_path / "in", files, ("1.png", "b/x.png", "c/x.png"))
    with pytest.raises(TouchstoneError) as raised:
        download(tmp_path, path)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "raw0").iterdir())

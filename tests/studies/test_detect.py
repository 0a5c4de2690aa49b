"""Which source reads what people have, by the names of the files."""

import zipfile
from pathlib import Path

import pytest

from touchstone.errors import TouchstoneError
from touchstone.studies.detect import source_of


@pytest.mark.parametrize(
    ("files", "source"),
    [
        (["cat/1.png", "dog/2.png"], "folder"),
        (["train/cat/1.png", "test/cat/2.png", "notes.csv"], "folder"),
        (["labels.csv", "images/1.png"], "folder"),
        (["JPEGImages/1.jpg", "ImageSets/Main/train.txt"], "voc"),
        (["VOC2007/JPEGImages/1.jpg", "VOC2007/ImageSets/Main/train.txt"], "voc"),
        (["data/train-00000-of-00002.parquet"], "table"),
        (["train/metadata.jsonl", "train/1.png"], "table"),
        (["annotations/instances_train2017.json", "train2017/1.jpg"], "coco"),
        (["train/_annotations.coco.json", "train/1.jpg"], "coco"),
        (["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"], "idx"),
        (["pathmnist.npz"], "medmnist"),
        (["train-000000.tar", "train-000001.tar"], "webdataset"),
    ],
)
def test_the_names_of_the_files_decide(tmp_path: Path, files: list[str], source: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert source_of(tmp_path) == source


def packed(folder: Path, *, wrapper: str) -> Path:
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, wrapper + path.relative_to(folder).as_posix())
    return archive


@pytest.mark.parametrize("wrapper", ["", "download/"])
@pytest.mark.parametrize(
    ("files", "source"),
    [
        ({"JPEGImages/1.jpg": "", "ImageSets/Main/train.txt": "", "Annotations/1.xml": ""}, "voc"),
        ({"images/1.jpg": "", "birds.json": '{"images": [], "categories": []}'}, "coco"),
        ({"cat/1.png": "", "list.csv": "Path,Class\ncat/1.png,cat\n"}, "table"),
        ({"train/metadata.csv": "file_name,label\n1.png,cat\n", "train/1.png": ""}, "table"),
        ({"labels.csv": "file,label\n1.png,cat\n", "1.png": ""}, "folder"),
        ({"cat/1.png": "", "dog/1.png": ""}, "folder"),
        ({"train-000000.tar": ""}, "folder"),
    ],
)
def test_an_archive_is_known_as_its_folder_is(tmp_path: Path, files: dict[str, str], source: str, wrapper: str) -> None:
    for name, content in files.items():
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(content)
    assert source_of(packed(tmp_path / "data", wrapper=wrapper)) == source


def test_a_table_with_columns_of_files_and_labels_is_one(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/1.png").write_bytes(b"")
    (tmp_path / "list.csv").write_text("Path,Class\ncat/1.png,cat\n")
    assert source_of(tmp_path) == "table"
    (tmp_path / "list.csv").write_text("when,where\n1,2\n")
    assert source_of(tmp_path) == "folder"


def test_annotations_of_any_name_are_known_by_their_keys(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/1.png").write_bytes(b"")
    (tmp_path / "notes.json").write_text('{"images": 1}')
    assert source_of(tmp_path) == "folder"
    (tmp_path / "birds.json").write_text('{"images": [], "annotations": [], "categories": []}')
    assert source_of(tmp_path) == "coco"


@pytest.mark.parametrize(("name", "source"), [("a.parquet", "table"), ("a.npz", "medmnist")])
def test_a_single_file(tmp_path: Path, name: str, source: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert source_of(tmp_path / name) == source


def test_what_no_source_reads_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"")
    for path, said in ((tmp_path / "a.txt", "got a file"), (tmp_path / "b", "no such file")):
        with pytest.raises(TouchstoneError, match=said):
            source_of(path)

"""Which source reads what people have, by the names of the files."""

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from touchstone.data.sources.table import _is_table
from touchstone.errors import TouchstoneError
from touchstone.studies import peek
from touchstone.studies.detect import Place, place_of, source_of


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


CLASSES = {"cat/1.png": "", "dog/1.png": ""}
CAPTIONS = "file_name,text\n1.png,a cat\n"
SIDECARS = {f"{label}/{i}.json": '{"images": 1, "camera": 2}' for label in ("cat", "dog") for i in range(150)}
PICTURES = {f"{label}/{i}.png": "" for label in ("cat", "dog") for i in range(150)}
COCO = '{"images": [], "annotations": [' + "0," * peek.CHUNK_BYTES + '0], "categories": []}'
LONG = "file,label\n" + "cat/1.png,cat\n" * 10_000 + '"'  # the last line is damaged, and far behind the first ones


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tgz"])
@pytest.mark.parametrize(
    ("files", "source"),
    [
        ({**CLASSES, ".ipynb_checkpoints/labels-checkpoint.csv": "file,label\ncat/1.png,cat\n"}, "folder"),
        ({**CLASSES, ".cache/x.npz": "", "__MACOSX/y.parquet": ""}, "folder"),
        ({**CLASSES, "cat/metadata.csv": CAPTIONS, "dog/metadata.csv": CAPTIONS}, "folder"),
        ({"train/cat/1.png": "", "train/dog/1.png": "", "train/metadata.csv": CAPTIONS}, "folder"),
        ({**CLASSES, "metadata.csv": "file_name,label\ncat/1.png,cat\n"}, "table"),
        ({"train/1.png": "", "test/2.png": "", "metadata.csv": CAPTIONS}, "table"),
        ({**CLASSES, "features.npz": "", "embedded.parquet": ""}, "folder"),
        ({"train-images-idx3-ubyte": "", "train-labels-idx1-ubyte": ""}, "idx"),
        ({**PICTURES, **SIDECARS}, "folder"),
        ({**PICTURES, **SIDECARS, "zz.json": COCO}, "coco"),
        ({**CLASSES, "list.csv": LONG}, "table"),
    ],
)
def test_a_folder_and_every_archive_of_it_are_known_alike(
    tmp_path: Path, files: dict[str, str], source: str, kind: str
) -> None:
    folder = tmp_path / "data"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    path = {
        "folder": lambda: folder,
        "zip": lambda: packed(folder, wrapper="data/"),
        "tar": lambda: Path(shutil.make_archive(str(folder), "tar", tmp_path, "data")),
        "tgz": lambda: Path(shutil.make_archive(str(folder), "gztar", tmp_path, "data")),
    }[kind]()
    assert source_of(path) == source


def test_arrays_beside_class_folders_are_read_where_they_hold_images(tmp_path: Path) -> None:
    for name in CLASSES:
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    np.savez(tmp_path / "data.npz", features=np.zeros(3))
    assert source_of(tmp_path) == "folder"
    np.savez(tmp_path / "data.npz", train_images=np.zeros((1, 2, 2), np.uint8))
    assert source_of(tmp_path) == "medmnist"
    (tmp_path / "data.npz").unlink()
    pytest.importorskip("pyarrow")
    pd.DataFrame({"file": ["cat/1.png"], "label": ["cat"]}).to_parquet(tmp_path / "list.parquet")
    assert source_of(tmp_path) == "table"


def test_links_are_followed_and_broken_ones_passed_over(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/train-images-idx3-ubyte").write_bytes(b"")
    (tmp_path / "here").mkdir()
    (tmp_path / "here/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "here/broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "here/circle").symlink_to(tmp_path / "here")
    assert source_of(tmp_path / "here") == "idx"


@pytest.mark.parametrize(
    ("files", "source"),
    [
        (["a.jpg", "a.cls", "b.jpg", "b.cls"], "webdataset"),
        (["x/a.jpg", "x/a.cls", "y/b.jpg", "y/b.cls"], "webdataset"),
        (["a.jpg", "a.json", "b.jpg", "b.json"], "webdataset"),
        (["a.jpg", "a.txt"], "webdataset"),
        (["cat/a.jpg", "cat/a.json", "dog/b.jpg", "dog/b.txt"], "folder"),
        (["cat/a.jpg", "dog/b.jpg", "classes.txt"], "folder"),
    ],
)
def test_one_shard_is_told_from_class_folders(tmp_path: Path, files: list[str], source: str) -> None:
    for name in files:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text("")
    assert source_of(Path(shutil.make_archive(str(tmp_path / "train-000"), "tar", tmp_path / "data"))) == source
    assert source_of(packed(tmp_path / "data", wrapper="")) == "folder", "a shard is a tar archive"


@pytest.mark.parametrize("name", ["list.csv", "list[1].tsv", "rows.jsonl"])
def test_a_table_alone_is_read_with_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    found = place_of(tmp_path / name)
    assert (found.source, found.path) == ("table", tmp_path)
    assert _is_table(name, found.table)
    assert not _is_table("other.csv", found.table)
    (tmp_path / "labels.csv").write_text("")
    assert place_of(tmp_path / "labels.csv") == Place("folder", tmp_path)


def test_archives_that_no_source_reads_together_are_to_be_unpacked(tmp_path: Path) -> None:
    for name in ("train.zip", "test.zip"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(TouchstoneError, match=r"holds archives \(test.zip, train.zip\) and no images; unpack them"):
        source_of(tmp_path)


def test_a_damaged_archive_is_one_line(tmp_path: Path) -> None:
    for name in ("a.zip", "a.tar"):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(TouchstoneError, match=f"{name}: damaged or truncated .*; get the archive again"):
            source_of(tmp_path / name)


def test_of_a_long_table_only_the_first_rows_are_read() -> None:
    stream = io.BytesIO(LONG.encode())
    assert peek.lists_images("list.csv", stream)
    assert stream.tell() <= peek.HEAD_BYTES + 1


def test_annotations_are_read_piece_by_piece() -> None:
    class Stream(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert 0 < (size or 0) <= peek.CHUNK_BYTES
            return super().read(size)

    for shift in range(20):  # a key that two pieces share
        assert peek.lists_images("a.json", Stream(b" " * (peek.CHUNK_BYTES - shift) + b'"images" "categories"'))
    assert not peek.lists_images("a.json", Stream(b'"images"' * peek.CHUNK_BYTES))


@pytest.mark.parametrize(("name", "source"), [("a.parquet", "table"), ("a.npz", "medmnist")])
def test_a_single_file(tmp_path: Path, name: str, source: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert source_of(tmp_path / name) == source


def test_what_no_source_reads_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"")
    for path, said in ((tmp_path / "a.txt", "got a file"), (tmp_path / "b", "no such file")):
        with pytest.raises(TouchstoneError, match=said):
            source_of(path)

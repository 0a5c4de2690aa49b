"""Tests which source is found for what people have, by the names of the files."""

import io
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


def written(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


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
    written(tmp_path / "data", files)
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
ROBOFLOW = {f"{label}/r{i}.rf.1a{end}": "" for label in ("cat", "dog") for i in range(75) for end in (".jpg", ".json")}
MANY = {f"{i}/{own}": "when,where\n" for i in range(150) for own in ("1.png", "notes.csv")}
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
        ({**MANY, "zz.csv": "file,label\ncat/1.png,cat\n"}, "table"),
        ({**PICTURES, **ROBOFLOW, "zz.json": COCO}, "coco"),
        ({"images/cat/1.png": "", "images/dog/1.png": "", "metadata.csv": CAPTIONS}, "folder"),
        ({"images/cat/1.png": "", "images/dog/1.png": "", "features.npz": ""}, "folder"),
    ],
)
def test_a_folder_and_every_archive_of_it_are_known_alike(
    tmp_path: Path, files: dict[str, str], source: str, kind: str
) -> None:
    folder = written(tmp_path / "data", files)
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
        ({"a.jpg": "", "a.cls": "", "b.jpg": "", "b.cls": ""}, "webdataset"),
        ({"x/a.jpg": "", "x/a.cls": "", "y/b.jpg": "", "y/b.cls": ""}, "webdataset"),
        ({"a.jpg": "", "a.json": "", "b.jpg": "", "b.json": ""}, "webdataset"),
        ({"a.jpg": "", "a.txt": "cat\n"}, "webdataset"),
        ({"a.jpg": "", "a.cls": "", "a.npz": "", "a.csv": ""}, "webdataset"),
        ({"a.jpg": "", "a.cls": "", "b.jpg": "", "c.jpg": ""}, "folder"),
        ({"a.jpg": "", "a.txt": "0 0.51 0.4 0.2 0.2\n"}, "folder"),
        ({"cat/a.jpg": "", "cat/a.json": "", "dog/b.jpg": "", "dog/b.txt": "b"}, "folder"),
        ({"cat/a.jpg": "", "dog/b.jpg": "", "classes.txt": "cat"}, "folder"),
        ({"labels.csv": "file,label\na.jpg,cat\n", "a.jpg": "", "a.json": "{}"}, "folder"),
        ({"metadata.csv": "file_name,label\na.jpg,cat\n", "a.jpg": "", "a.txt": "cat"}, "table"),
        ({"birds.json": '{"images": [], "categories": []}', "a.jpg": "", "a.txt": "cat"}, "coco"),
    ],
)
def test_one_shard_is_told_from_other_images(tmp_path: Path, files: dict[str, str], source: str) -> None:
    written(tmp_path / "data", files)
    assert source_of(Path(shutil.make_archive(str(tmp_path / "train-000"), "tar", tmp_path / "data"))) == source
    if source == "webdataset":
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


def zip_of(path: Path, files: Mapping[str, str | bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def from_a_newer_version(content: bytes) -> bytes:
    """The .zip file with a first member that needs version 20."""
    entry = content.index(b"PK\x01\x02")
    return content[: entry + 6] + b"\xc8" + content[entry + 7 :]


@pytest.mark.parametrize("name", ["/abs/1.png", "../1.png", "c:/1.png", "/abs/"])
def test_names_that_lead_out_of_an_archive_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    path = zip_of(tmp_path / "a.zip", {"cat/2.png": "", name: ""})
    with pytest.raises(
        TouchstoneError, match=f"{name.strip('/')}.*: the name is absolute, or holds .*; pack the archi"
    ):
        source_of(path)


def test_a_directory_of_a_zip_that_python_cannot_read_is_one_line(tmp_path: Path) -> None:
    content = zip_of(tmp_path / "a.zip", {"c\u00e4t/1.png": ""}).read_bytes()
    for damaged in (content.replace("\u00e4".encode(), b"\xff\xfe"), from_a_newer_version(content)):
        (tmp_path / "a.zip").write_bytes(damaged)
        with pytest.raises(TouchstoneError, match=r"a.zip: damaged or truncated .*; get the archive again"):
            source_of(tmp_path / "a.zip")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("name", ["list.csv", "list.json", "list.npz", "list.parquet"])
def test_a_damaged_member_lists_no_images(tmp_path: Path, name: str, compression: int) -> None:
    path = zip_of(tmp_path / "a.zip", {**CLASSES, name: "file,label\n" + "a,b\n" * 1000}, compression)
    content = bytearray(path.read_bytes())
    start = content.index(name.encode()) + len(name)
    content[start : start + 20] = b"\xff" * 20
    path.write_bytes(content)
    assert source_of(path) == "folder"


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_arrays_with_an_odd_directory_hold_no_images(tmp_path: Path, kind: str) -> None:
    content = zip_of(tmp_path / "a.zip", {"train_images.npy": "x"}).read_bytes()
    folder = written(tmp_path / "data", {**CLASSES, "f.npz": from_a_newer_version(content)})
    assert source_of(folder if kind == "folder" else Path(shutil.make_archive(str(folder), kind, folder))) == "folder"


def test_of_many_files_of_a_zip_few_are_opened_and_its_directory_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {f"{i % 2}/{i}/{own}": "" for i in range(200) for own in ("metadata.csv", "1.png")}
    path = zip_of(tmp_path / "a.zip", tables)
    opened, read = [], []

    class Counting(zipfile.ZipFile):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            read.append(arguments)
            super().__init__(*arguments, **options)

        def open(self, *arguments: Any, **options: Any) -> Any:
            opened.append(arguments)
            return super().open(*arguments, **options)

    monkeypatch.setattr(zipfile, "ZipFile", Counting)
    assert source_of(path) == "folder"
    assert len(read) == 1
    assert len(opened) <= 2 * peek.LOOKED_INTO  # once as metadata.csv, once as a table


def test_of_a_parquet_file_only_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    rows = {"file": [f"{i}.png" for i in range(50_000)], "label": ["cat"] * 50_000}
    pd.DataFrame(rows).to_parquet(tmp_path / "list.parquet")
    monkeypatch.setattr(peek, "END_BYTES", 1 << 14)
    assert (tmp_path / "list.parquet").stat().st_size > 10 * peek.END_BYTES
    for name in CLASSES:
        written(tmp_path, {name: ""})
    assert source_of(tmp_path) == "table"
    assert source_of(
        zip_of(tmp_path / "a.zip", {**CLASSES, "l.parquet": (tmp_path / "list.parquet").read_bytes()})
    ) == ("table")


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8-sig"])
def test_a_long_table_as_spreadsheets_write_it_is_one(tmp_path: Path, encoding: str, kind: str) -> None:
    text = "file\tlabel\n" + "cat/1.png\tc\u00e4t\n" * 10_000
    mark = "" if encoding == "utf-8-sig" else "\ufeff"
    folder = written(tmp_path / "data", {**CLASSES, "list.csv": (mark + text).encode(encoding)})
    assert source_of(folder if kind == "folder" else Path(shutil.make_archive(str(folder), kind, folder))) == "table"


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

import io
import json
import shutil
import weakref
import zipfile
from pathlib import Path
from typing import Any

import pytest

from kit.images import picture
from touchstone.config.schema.data import Columns
from touchstone.data.findings import read as read_findings
from touchstone.data.sources import table
from touchstone.data.sources._tables import Table, open_table
from touchstone.errors import TouchstoneError

IMAGES = ("1.png", "deep/2.png", "3.png")
ROWS = [("1.png", "cat"), ("deep/2.png", "dog"), ("3.png", "cat")]


def lay(root: Path, tables: dict[str, str | bytes], images: tuple[str, ...] = IMAGES) -> Path:
    """Write tables and images below a folder."""
    files = {name: picture(name) for name in images} | tables
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def download(tmp_path: Path, path: Path, **columns: str) -> Path:
    raw = tmp_path / f"raw{len(list(tmp_path.glob('raw*')))}"
    raw.mkdir()
    table.download(to=raw, path=path, mirror="", columns=Columns(**columns))
    return raw


def rows(tmp_path: Path, path: Path, **columns: str) -> list[tuple[str, str, str]]:
    """The (file, label, split) of each image, sorted by file."""
    return [(i.file, i.label, i.split) for i in table.read(download(tmp_path, path, **columns)).images]


def refused(tmp_path: Path, path: Path, **columns: str) -> str:
    with pytest.raises(TouchstoneError) as raised:
        download(tmp_path, path, **columns)
    assert "\n" not in str(raised.value)
    assert not any(file for raw in tmp_path.glob("raw*") for file in raw.iterdir())
    return str(raised.value)


def in_both(path: Path) -> list[Path]:
    """The folder and an archive of it."""
    return [path, Path(shutil.make_archive(str(path.with_name(f"{path.name}-packed")), "zip", path))]


def delimited(separator: str, header: str = "file,label") -> str:
    return "\n".join([header.replace(",", separator), *(separator.join(row) for row in ROWS)]) + "\n"


def json_lines(**names: str) -> str:
    return "".join(
        json.dumps({names.get("file", "file_name"): f, names.get("label", "label"): c}) + "\n" for f, c in ROWS
    )


def parquet(columns: dict[str, list[Any]], features: dict[str, Any] | None = None) -> bytes:
    """A Parquet file, with the features that the library `datasets` writes beside the schema."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    content = pa.table(columns)
    if features:
        content = content.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    file = io.BytesIO()
    pq.write_table(content, file)
    return file.getvalue()


def held(*names: str | None, numbers: list[int], key: str = "image") -> bytes:
    """A shard as Hugging Face writes it: images with their bytes, and numbers of the classes ant and bee."""
    cells = [{"bytes": picture(f"{name}{i}"), "path": name} for i, name in enumerate(names)]
    features = {key: {"_type": "Image"}, "label": {"names": ["bee", "ant"], "_type": "ClassLabel"}}
    return parquet({key: cells, "label": numbers}, features)


# --- formats ---


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("any.csv", delimited(",")),
        ("any.CSV", "\ufeff" + delimited(",")),
        ("any.tsv", delimited("\t")),
        ("metadata.jsonl", json_lines()),
        ("metadata.ndjson", json_lines(file="image", label="class")),
        ("a.parquet", lambda: parquet({"file": [f for f, _ in ROWS], "label": [c for _, c in ROWS]})),
    ],
)
def test_all_formats_say_the_same(tmp_path: Path, name: str, content: Any) -> None:
    content = content() if callable(content) else content
    got = rows(tmp_path, lay(tmp_path / "in", {name: content}))
    assert got == [("1.png", "cat", ""), ("3.png", "cat", ""), ("deep/2.png", "dog", "")]


def test_an_archive_gives_the_same_bytes(tmp_path: Path) -> None:
    path = lay(tmp_path / "in", {"any.csv": delimited(",")})
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", path)
    raws = [download(tmp_path, each) for each in (path, Path(archive))]
    assert len({(raw / "files.zip").read_bytes() for raw in raws}) == 1
    assert len({(raw / "manifest.csv").read_bytes() for raw in raws}) == 1


def test_columns_are_named_in_params(tmp_path: Path) -> None:
    text = "label,photo,kind,fold\nx,1.png,cat,Training\ny,deep/2.png,dog,TEST\nz,3.png,cat,dev\n"
    path = lay(tmp_path / "in", {"a.csv": text, "b/other.csv": "nothing\n"})
    got = rows(tmp_path, path, table="a.csv", file="photo", label="kind", split="fold")
    assert got == [("1.png", "cat", "train"), ("3.png", "cat", "val"), ("deep/2.png", "dog", "test")]


@pytest.mark.parametrize(
    ("word", "split"),
    [
        *[("train", "train"), ("Training", "train"), ("val", "val"), ("VALID", "val"), ("validation", "val")],
        *[("dev", "val"), (" test ", "test"), ("testing", "test"), ("", "")],
    ],
)
def test_words_for_splits(tmp_path: Path, word: str, split: str) -> None:
    path = lay(tmp_path / "in", {"a.csv": f"file,label,split\n1.png,cat,{word}\n3.png,dog,\n"})
    assert rows(tmp_path, path)[0] == ("1.png", "cat", split)


def test_a_table_for_each_split_as_in_an_image_folder_of_hugging_face(tmp_path: Path) -> None:
    tables: dict[str, str | bytes] = {
        "train/metadata.csv": "file_name,label\n1.png,cat\nsub/2.png,dog\n",
        "test/metadata.csv": "file_name,label\n1.png,dog\n",
    }
    path = lay(tmp_path / "in", tables, ("train/1.png", "train/sub/2.png", "test/1.png"))
    assert rows(tmp_path, path) == [
        ("test/1.png", "dog", "test"),
        ("train/1.png", "cat", "train"),
        ("train/sub/2.png", "dog", "train"),
    ]


def test_one_table_over_folders_of_splits_and_paths_below_the_root(tmp_path: Path) -> None:
    text = "path,label\nval/1.png,cat\n../Train/2.png,dog\n./images/test/3.png,cat\n"
    path = lay(tmp_path / "in", {"notes/all.csv": text}, ("val/1.png", "Train/2.png", "images/test/3.png"))
    assert rows(tmp_path, path) == [
        ("Train/2.png", "dog", "train"),
        ("images/test/3.png", "cat", "test"),
        ("val/1.png", "cat", "val"),
    ]


@pytest.mark.parametrize(
    "folders", [("train_images", "valid_set", "TestImages"), ("x/Training", "x/dev/a", "x/testset")]
)
def test_words_for_folders_of_images(tmp_path: Path, folders: tuple[str, ...]) -> None:
    images = tuple(f"{folder}/{i}.png" for i, folder in enumerate(folders))
    listed = "".join(f"{name},{label}\n" for name, label in zip(images, ("cat", "dog", "cat"), strict=True))
    for path in in_both(lay(tmp_path / "in", {"all.csv": f"file,label\n{listed}"}, images)):
        assert {split for *_, split in rows(tmp_path, path)} == {"train", "val", "test"}


@pytest.mark.parametrize(("folder", "split"), [("test", "test"), ("x/dev", "val")])
def test_images_beside_folders_of_test_or_val_alone_are_for_training(tmp_path: Path, folder: str, split: str) -> None:
    images = ("images/1.png", "images/2.png", f"{folder}/3.png")
    text = f"file,label\nimages/1.png,cat\nimages/2.png,dog\n{folder}/3.png,cat\n"
    for path in in_both(lay(tmp_path / "in", {"all.csv": text}, images)):
        assert {file: split for file, _, split in rows(tmp_path, path)} == {
            "images/1.png": "",
            "images/2.png": "",
            f"{folder}/3.png": split,
        }


def test_a_class_called_train_is_refused_with_what_to_do(tmp_path: Path) -> None:
    images = ("train/1.png", "plane/2.png", "car/3.png")
    text = "file,label\n" + "".join(f"{name},{name.partition('/')[0]}\n" for name in images)
    for path in in_both(lay(tmp_path / "in", {"all.csv": text}, images)):
        said = "train/1.png lies in a folder of train, car/3.png in none of a split; move or rename either folder, or "
        assert f"{said}give the splits in a column of the table" in refused(tmp_path, path)


@pytest.mark.parametrize("name", ["train.csv", "data/train-0.csv"])
def test_a_table_whose_name_says_no_split_beside_one_of_train_is_refused(tmp_path: Path, name: str) -> None:
    tables: dict[str, str | bytes] = {
        name: "file,label\nimages/1.png,cat\n",
        "test.csv": "file,label\nimages/2.png,dog\n",
        "holdout.csv": "file,label\nimages/3.png,dog\n",
    }
    images = ("images/1.png", "images/2.png", "images/3.png")
    for path in in_both(lay(tmp_path / "in", tables, images)):
        said = f"holdout.csv names no split, {name} does; expected a split in every name or in none: rename it"
        assert said in refused(tmp_path, path)
    tables["holdout.csv"] = "file,label,split\nimages/3.png,dog,val\n"
    path = lay(tmp_path / "again", tables, images)
    assert [split for *_, split in rows(tmp_path, path)] == ["train", "test", "val"]


def test_a_table_beside_one_of_test_is_for_training(tmp_path: Path) -> None:
    tables: dict[str, str | bytes] = {
        "all.csv": "file,label\nimages/1.png,cat\nimages/2.png,dog\n",
        "test.csv": "file,label\nimages/3.png,dog\n",
    }
    for path in in_both(lay(tmp_path / "in", tables, ("images/1.png", "images/2.png", "images/3.png"))):
        assert [split for *_, split in rows(tmp_path, path)] == ["", "", "test"]


def test_folders_of_predictions_say_no_split(tmp_path: Path) -> None:
    images = ("predict/1.png", "predict/2.png", "prediction/3.png", "pred/4.png", "Unlabeled/5.png")
    text = "file,label\npredict/1.png,cat\npredict/2.png,dog\n"
    for path in in_both(lay(tmp_path / "in", {"metadata.csv": text}, images)):
        raw = download(tmp_path, path)
        assert [(i.file, i.label, i.split) for i in table.read(raw).images] == [
            ("Unlabeled/5.png", "", "unlabelled"),
            ("predict/1.png", "cat", ""),
            ("predict/2.png", "dog", ""),
        ]
        assert findings(raw) == [
            ("layout", "took the folder Unlabeled as unlabelled"),
            ("left out", "left out 2 images that no table lists: pred/4.png, prediction/3.png"),
        ]


def test_a_label_in_a_folder_of_unlabelled_images_is_refused_with_its_line(tmp_path: Path) -> None:
    text = "file,label\n1.png,cat\nx/unlabelled/2.png,dog\n"
    for path in in_both(lay(tmp_path / "in", {"all.csv": text}, ("1.png", "x/unlabelled/2.png"))):
        said = "all.csv, line 3: x/unlabelled/2.png lies in x/unlabelled and has the label 'dog'; move it or remove"
        assert said in refused(tmp_path, path)


def test_folders_of_train_beside_others_are_refused(tmp_path: Path) -> None:
    text = "file,label\ntrain/1.png,cat\nholdout/2.png,dog\n"
    for path in in_both(lay(tmp_path / "in", {"all.csv": text}, ("train/1.png", "holdout/2.png"))):
        said = "train/1.png lies in a folder of train, holdout/2.png in none of a split; move or rename either folder"
        assert said in refused(tmp_path, path)
    text = "file,label,split\ntrain/1.png,cat,\nholdout/2.png,dog,test\n"
    path = lay(tmp_path / "again", {"all.csv": text}, ("train/1.png", "holdout/2.png"))
    assert [split for *_, split in rows(tmp_path, path)] == ["test", "train"]


@pytest.mark.parametrize("folder", ["unlabelled", "unlabeled", "Unlabelled_images", "data/unlabelled/deep"])
def test_images_without_a_row_in_a_folder_of_unlabelled_ones(tmp_path: Path, folder: str) -> None:
    images = (*IMAGES, f"{folder}/x.png", "stray.png")
    for path in in_both(lay(tmp_path / "in", {"all.csv": delimited(",")}, images)):
        assert (f"{folder}/x.png", "", "unlabelled") in (got := rows(tmp_path, path))
        assert len(got) == 4


@pytest.mark.parametrize(
    "names", [("TrainImages", "TestImages"), ("trainset-0", "testset-0"), ("x/TrainSet/0", "test/0")]
)
def test_words_for_names_of_shards(tmp_path: Path, names: tuple[str, str]) -> None:
    shards = {f"{name}.parquet": held("a", "b", numbers=[0, 1]) for name in names}
    for path in in_both(lay(tmp_path / "in", dict(shards), ())):
        assert {(file.rpartition("/")[0], split) for file, _, split in rows(tmp_path, path)} == {
            (names[0], "train"),
            (names[1], "test"),
        }


def test_several_labels_joined_or_in_a_list(tmp_path: Path) -> None:
    lines = [
        {"file": "1.png", "label": ["dog", "cat"], "patient": 7, "box": [3]},
        {"file": "3.png", "label": "cat|dog", "patient": None, "box": [1, 2]},
        {"file": "deep/2.png", "label": [], "box": [4]},
    ]
    path = lay(tmp_path / "in", {"a.jsonl": "\n".join(map(json.dumps, lines))})
    raw = table.read(download(tmp_path, path))
    assert [(i.label, i.columns) for i in raw.images] == [
        ("cat|dog", {"patient": "7"}),
        ("cat|dog", {"patient": ""}),
        ("", {"patient": ""}),
    ]
    assert raw.multi_label


def test_absolute_paths_within_the_folder(tmp_path: Path) -> None:
    path = lay(tmp_path / "in", {})
    (path / "a.csv").write_text(f"file,label\n{path}/1.png,a\n{path}/deep/../deep/2.png,b\n")
    assert [file for file, *_ in rows(tmp_path, path)] == ["1.png", "deep/2.png"]


def test_a_table_without_labels_lists_unlabelled_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables: dict[str, str | bytes] = {
        "train.csv": "file,label\n1.png,a\n3.png,b\n",
        "test.csv": "file,id\ndeep/2.png,9\n",
    }
    got = rows(tmp_path, lay(tmp_path / "in", tables, (*IMAGES, "unlabelled/x.png", "stray.png")))
    assert got[-2:] == [("deep/2.png", "", "unlabelled"), ("unlabelled/x.png", "", "unlabelled")]
    said = capsys.readouterr().out
    assert "test.csv: no column of labels, so its images are unlabelled" in said
    assert "left out 1 image that no table lists: stray.png" in said


SHEETS = {
    "semicolons": delimited(";"),
    "tabs": delimited("\t"),
    "utf-16": delimited(",").encode("utf-16"),
    "utf-16 with tabs": delimited("\t").encode("utf-16"),
    "backslashes": delimited(",").replace("/", "\\"),
    "without suffix": delimited(",").replace(".png", ""),
    "suffix in capitals": delimited(",").replace(".png", ".PNG"),
    "dot and slash": delimited(",").replace("deep/", "./deep/"),
    "empty rows": delimited(",").replace("label\n", "label\n,\n\n") + ",,,\n , \n",
    "commas at the end of rows": delimited(",").replace("cat", "cat,"),
    "blanks": delimited(" , "),
    "blanks and quotes": 'file, "label"\n' + delimited(",").partition("\n")[2],
}


@pytest.mark.parametrize("content", SHEETS.values(), ids=SHEETS)
def test_tables_as_spreadsheets_and_windows_write_them(tmp_path: Path, content: str | bytes) -> None:
    for path in in_both(lay(tmp_path / "in", {"all.csv": content})):
        assert rows(tmp_path, path) == [("1.png", "cat", ""), ("3.png", "cat", ""), ("deep/2.png", "dog", "")]


def test_semicolons_under_names_from_params(tmp_path: Path) -> None:
    path = lay(tmp_path / "in", {"all.csv": "photo;kind;size\n1.png;cat;1,5\n3.png;dog;2\n"})
    assert [label for _, label, _ in rows(tmp_path, path, file="photo", label="kind")] == ["cat", "dog"]


def test_blanks_in_other_columns_are_kept(tmp_path: Path) -> None:
    path = lay(tmp_path / "in", {"a.csv": "file,label,note\n1.png,cat, a \n3.png,dog,b\n"})
    assert [image.columns["note"] for image in table.read(download(tmp_path, path)).images] == [" a ", "b"]


def test_a_name_that_fits_two_images_is_refused(tmp_path: Path) -> None:
    images = ("train/1.png", "train/1.jpg", "test/2.png")
    path = lay(tmp_path / "in", {"train/a.csv": "file,label\n1,cat\n"}, images)
    assert "a.csv, line 2: '1' may be train/1.jpg or train/1.png; write its path from source.path" in refused(
        tmp_path, path
    )
    path = lay(tmp_path / "other", {"train/a.csv": "file,label\n2.png,cat\n"}, images)
    assert "no image '2.png'" in refused(tmp_path, path), "of another folder"


# --- what is told ---


def findings(raw: Path) -> list[tuple[str, str]]:
    return [tuple(each) for each in read_findings(raw / "findings.csv")]


def test_what_is_found_out_stands_beside_the_raw_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables: dict[str, str | bytes] = {
        "a.csv": "file,label,bytes\nTraining/1,Cat,7\nTest_set/2.png,cat,7\nTraining/3.png,dog,7\n",
        "b.csv": "file,id\nx/5.png,9\n",
        "c.csv": "file,id\nx/6.png,9\n",
    }
    images = ("Training/1.png", "Training/3.png", "Test_set/2.png", "x/5.png", "x/6.png", "x/7.png", ".22 rifle/1.png")
    path = lay(tmp_path / "in", tables | {"x/8.nef": b"text"}, images)
    expected = [
        ("layout", "b.csv and 1 more table: no column of labels, so their images are unlabelled"),
        ("layout", "took the folders Training as train, Test_set as test"),
        ("layout", "files that are named in another way: 1; 'Training/1' was read as Training/1.png"),
        ("layout", "classes differ in case alone: Cat and cat; give them one name if they are one"),
        ("left out", "left out the column bytes in a.csv, whose name is taken"),
        ("left out", "left out 1 .nef file, a format that is not read; convert them to .png or .jpg"),
        ("left out", "left out 1 image that no table lists: x/7.png"),
        (
            "left out",
            "left out hidden folders with images: .22 rifle (1); rename those that are classes, without the dot",
        ),
    ]
    for each in in_both(path):
        assert findings(download(tmp_path, each)) == expected
        assert capsys.readouterr().out == "".join(f"{each}: {text}\n" for _, text in expected)


def test_nothing_is_told_of_a_plain_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = download(tmp_path, lay(tmp_path / "in", {"all.csv": delimited(",")}))
    assert sorted(file.name for file in raw.iterdir()) == ["files.zip", "manifest.csv"]
    assert capsys.readouterr().out == ""


def test_names_in_an_archive_that_are_not_utf_8_are_told(tmp_path: Path) -> None:
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("caf?.png", "2.png"):
            archive.writestr(name, picture(name))
        archive.writestr("all.csv", "file,label\n2.png,a\ncaf\u00e9.png,b\n")
    path.write_bytes(path.read_bytes().replace(b"caf?.png", b"caf\x82.png"))
    assert [text[:66] for _, text in findings(download(tmp_path, path))] == [
        "names in the archive that are not UTF-8, read as code page 437: 1 "
    ]


# --- images in Parquet ---


def test_shards_of_hugging_face(tmp_path: Path) -> None:
    shards: dict[str, str | bytes] = {
        "data/train-00000-of-00002.parquet": held("a.png", "x/a.png", numbers=[0, 1]),
        "data/train-00001-of-00002.parquet": held(None, numbers=[1]),
        "data/test-00000-of-00001.parquet": held("b.png", "c.png", numbers=[0, -1]),
    }
    raw = table.read(download(tmp_path, lay(tmp_path / "in", shards | {"README.md": "text"}, ())))
    assert [(i.file, i.label, i.split) for i in raw.images] == [
        ("data/test-00000-of-00001/000001-b.png", "bee", "test"),
        ("data/test-00000-of-00001/000002-c.png", "", "unlabelled"),
        ("data/train-00000-of-00002/000001-a.png", "bee", "train"),
        ("data/train-00000-of-00002/000002-a.png", "ant", "train"),
        ("data/train-00001-of-00002/000001", "ant", "train"),
    ]
    assert not raw.multi_label
    assert (raw.pixels(2, channels=1, max_pixels=99) == picture_grey("a.png0")).all()


def picture_grey(name: str) -> int:
    import hashlib

    return hashlib.sha256(name.encode()).digest()[0]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_a_column_may_hold_long_texts(tmp_path: Path, name: str) -> None:
    outline = " ".join(["0.25"] * 40_000)  # more than csv reads by default
    listed = [("1.png", "cat", outline), ("3.png", "dog", "")]
    if name == "a.jsonl":
        content = "\n".join(json.dumps(dict(zip(("file", "label", "outline"), row, strict=True))) for row in listed)
    else:
        separator = "\t" if name == "a.tsv" else ","
        content = "\n".join(separator.join(row) for row in [("file", "label", "outline"), *listed])
    raw = download(tmp_path, lay(tmp_path / "in", {name: content}, images=("1.png", "3.png")))
    assert [(image.file, image.columns["outline"]) for image in table.read(raw).images] == [
        ("1.png", outline),
        ("3.png", ""),
    ]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_one_table_is_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    alive: list[weakref.ref[Table]] = []

    def open_one(content: bytes, *, file: str) -> Table:
        assert [each for each in alive if each() is not None] == []
        alive.append(weakref.ref(opened := open_table(content, file=file)))
        return opened

    monkeypatch.setattr(table, "open_table", open_one)
    tables: dict[str, str | bytes] = {
        f"{n}.{suffix}": held(f"{n}.png", numbers=[n % 2]) if suffix == "parquet" else json_line(n) for n in range(3)
    }
    path = lay(tmp_path / "in", tables, ("0.png", "1.png", "2.png"))
    assert len(rows(tmp_path, path)) == 3
    assert len(alive) == 3


def json_line(number: int) -> str:
    return json.dumps({"file_name": f"{number}.png", "label": number % 2}) + "\n"


def test_one_parquet_file_and_an_unusual_name_of_the_column(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(held("a.png", "b.png", numbers=[0, 1], key="photograph"))
    assert rows(tmp_path, tmp_path / "x.parquet") == [("x/000001-a.png", "bee", ""), ("x/000002-b.png", "ant", "")]


def test_numbers_without_names_lists_of_numbers_and_plain_bytes(tmp_path: Path) -> None:
    content = parquet({"img": [picture("a"), picture("b")], "label": [[3, 10], [3]], "bytes": ["x", "y"]})
    (tmp_path / "x.parquet").write_bytes(content)
    raw = table.read(download(tmp_path, tmp_path / "x.parquet"))
    assert [(i.label, i.columns) for i in raw.images] == [("10|3", {}), ("3", {})]


def test_images_that_parquet_names_by_path(tmp_path: Path) -> None:
    cells = [{"bytes": None, "path": "1.png"}, {"bytes": None, "path": "3.png"}]
    path = lay(tmp_path / "in", {"a.parquet": parquet({"image": cells, "label": ["a", "b"]})})
    assert [file for file, *_ in rows(tmp_path, path)] == ["1.png", "3.png"]


def test_two_columns_of_class_names_want_a_choice(tmp_path: Path) -> None:
    names = {"names": ["a", "b"], "_type": "ClassLabel"}
    columns = {"img": [picture("a"), picture("b")], "fine_label": [0, 1], "coarse_label": [1, 0]}
    (tmp_path / "x.parquet").write_bytes(parquet(columns, {"fine_label": names, "coarse_label": names}))
    message = refused(tmp_path, tmp_path / "x.parquet")
    assert "several columns of labels (fine_label, coarse_label); name one in data.columns.label" in message
    got = rows(tmp_path, tmp_path / "x.parquet", label="coarse_label")
    assert [label for _, label, _ in got] == ["b", "a"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: b"PAR1 nothing", "not a readable Parquet file"),
        (lambda: held("a.png", "b.png", numbers=[0, 2]), "row 2: got the class number 2, expected 0 to 1"),
        (lambda: parquet({"image": [None, picture("b")], "label": ["a", "b"]}), "row 1: no image in it"),
        (lambda: parquet({"image": [b"x"], "label": [0.5]}), "row 1: got the label 0.5, expected a class name"),
        (lambda: parquet({"image": [b"x"], "label": [[0, 0]]}), "got the label [0, 0], expected each class once"),
        (lambda: parquet({"image": [b"x"], "label": [0]}, {"label": {"_type": "ClassLabel"}}), "features are damaged"),
    ],
)
def test_bad_parquet_is_refused_in_one_line(tmp_path: Path, content: Any, said: str) -> None:
    (tmp_path / "x.parquet").write_bytes(content())
    pytest.importorskip("pyarrow")
    assert said in refused(tmp_path, tmp_path / "x.parquet")


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "x.parquet").write_bytes(b"x")
    assert "Parquet needs pyarrow; install it with pip install 'touchstone[parquet]'" in refused(
        tmp_path, tmp_path / "x.parquet"
    )


# --- errors ---


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "", "a.csv: got the columns '', expected each with a name"),
        ("a.csv", "file,label,\n1.png,a,\n", "got the columns 'file,label,', expected each with a name of its own"),
        (
            "a.csv",
            "photo,label\n1.png,a\n",
            "no column of image files among photo, label; name it in data.columns.file",
        ),
        ("a.csv", "file,label\n1.png\n", "line 2: got 1 cells, expected 2: file,label"),
        ("a.csv", 'file,label\n"1.png,a\n', "not a CSV file"),
        ("a.csv", b"file,label\n\xff.png,a\n", "not UTF-8 at byte 11; save it as UTF-8"),
        ("a.csv", "file,label\n1.pgn,a\n", "line 2: no image '1.pgn'; did you mean 1.png?; correct the name"),
        ("a.csv", "file,label\n../1.png,a\n", "line 2: no image '../1.png'"),
        ("a.csv", "file,label\n/etc/1.png,a\n", "/etc/1.png lies outside of source.path, where no change is seen"),
        ("a.csv", "file,label\nhttps://example.org/1.png,a\n", "is an address, expected a file; download the images"),
        ("a.csv", "file,label\n1.png,a\n1.png,b\n", "line 3: 1.png is listed twice"),
        ("a.csv", "file,label\n1.png,a| b\n", "line 2: got the class name ' b'"),
        ("a.csv", "file,label\n1.png,a|a\n", "got the label 'a|a', expected each class once"),
        ("a.csv", "file,label,split\n1.png,a,holdout\n", "line 2: got the split 'holdout', expected train, val, test"),
        ("a.csv", "file,label,split\n1.png,a,unlabelled\n", "1.png is unlabelled and has the label 'a'"),
        ("a.csv", "file,label\n1.png,\n", "no image has a label"),
        ("a.csv", "file,label\n1.png,a\n3.png,a\n", "every image is a, so there is nothing to learn"),
        ("a.csv", "file,kind\n1.png,a\n", "a.csv: no image has a label: no column of labels among file, kind; name it"),
        ("a.csv", "file,label\n1.png,a,x\n", "line 2: got 3 cells, expected 2: file,label"),
        ("a.jsonl", '{"file": "1.png"\n', "line 1: not JSON"),
        ("a.jsonl", "[1]\n", "line 1: got '[1]', expected an object"),
        ("a.jsonl", "[" * 100_000, "line 1: not JSON"),
        ("a.jsonl", '{"file": "1.png", "label": {"x": 1}}\n', "got the label {'x': 1}, expected a class name"),
        ("a.txt", "file,label\n", "no table in it, expected .csv, .tsv, .jsonl, .ndjson, .parquet"),
    ],
)
def test_a_bad_table_is_refused_in_one_line(tmp_path: Path, name: str, text: str | bytes, said: str) -> None:
    message = refused(tmp_path, lay(tmp_path / "in", {name: text}))
    assert said in message
    assert message.startswith("source.path: ")


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    path = lay(tmp_path / "in", {"a.csv": "file,label\n1.png,a\n3.png,b\n"})
    message = refused(tmp_path, path, label="lable")
    assert message.startswith("data.columns.label: got 'lable', but source.path: ")
    assert message.endswith("a.csv has the columns file, label; did you mean label?")
    assert "expected 'b.csv' by data.columns.table" in refused(tmp_path, path, table="b.csv")


def test_a_table_alone_has_no_images_beside_it(tmp_path: Path) -> None:
    path = lay(tmp_path / "in", {"a.csv": "file,label\n1.png,a\n3.png,b\n"})
    assert "source.path is the table alone; set it to their folder" in refused(tmp_path, path / "a.csv")

"""labels.csv as spreadsheets, Windows and Kaggle write it: one reading, or one line that names the row."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kit.pictures import both, lay, read, zipped
from touchstone.errors import TouchstoneError

FILES = [f"{i:02d}.png" for i in range(4)]
LABELS = {name: "cat" if i % 2 else "dog" for i, name in enumerate(FILES)}


def rows(row: Callable[[str, str], str] = "{},{}".format, header: str = "file,label") -> str:
    return "\n".join([header, *(row(name, label) for name, label in LABELS.items())]) + "\n"


def beside(tmp_path: Path, table: str | bytes, folder: str = "") -> Path:
    root = lay(tmp_path / "in", [f"{folder}{name}" for name in FILES])
    (root / "labels.csv").write_bytes(table if isinstance(table, bytes) else table.encode())
    return root


@pytest.mark.parametrize(
    ("table", "folder"),
    {
        "plain": (rows(), ""),
        "bom and crlf": (b"\xef\xbb\xbf" + rows().replace("\n", "\r\n").encode(), ""),
        "cr": (rows().replace("\n", "\r"), ""),
        "semicolon": (rows().replace(",", ";"), ""),
        "tab": (rows().replace(",", "\t"), ""),
        "utf-16": (rows().encode("utf-16"), ""),
        "header with a blank": (rows(header="file, label"), ""),
        "header in capitals": (rows(header="File,LABEL"), ""),
        "label first": (rows(lambda name, label: f"{label},{name}", "label,file"), ""),
        "blank after the comma": (rows("{}, {}".format), ""),
        "dot and slash": (rows("./{},{}".format), ""),
        "dot, slash, folder": (rows("./imgs/{},{}".format), "imgs/"),
        "backslashes": (rows("imgs\\{},{}".format), "imgs/"),
        "absolute": (rows("/home/me/imgs/{},{}".format), "imgs/"),
        "absolute on windows": (rows("C:\\me\\imgs\\{},{}".format), "imgs/"),
        "without the folder": (rows(), "imgs/"),
        "without the suffix": (rows(lambda name, label: f"{name[:-4]},{label}"), ""),
        "without both": (rows(lambda name, label: f"{name[:-4]},{label}"), "imgs/"),
        "suffix in capitals": (rows(lambda name, label: f"{name[:-4]}.PNG,{label}"), ""),
        "trailing commas": (rows("{},{},".format, "file,label,"), ""),
        "blank lines": (rows() + "\n\n\n", ""),
        "rows of commas": (rows() + ",\n,\n", ""),
        "the same row twice": (rows() + "00.png,dog\n", ""),
        "index": ("\n".join([",file,label", *(f"{i},{n},{LABELS[n]}" for i, n in enumerate(FILES))]), ""),
        "lists": (rows("{},['{}']".format), ""),
    }.values(),
)
def test_what_has_one_reading_is_read(tmp_path: Path, table: str | bytes, folder: str) -> None:
    found, _ = both(beside(tmp_path, table, folder), tmp_path)
    assert found == {f"{folder}{name}": (label, "") for name, label in LABELS.items()}


@pytest.mark.parametrize(
    ("names", "row"),
    [
        (("NA", "nan"), "{},{}"),
        (("0", "1"), "{},{}"),
        (("cat, big", "dog, big"), '"{}","{}"'),
        (("Cat", "cat"), "{},{}"),
    ],
)
def test_names_of_classes_are_taken_as_they_stand(tmp_path: Path, names: tuple[str, str], row: str) -> None:
    table = "\n".join(["file,label", *(row.format(name, names[i % 2]) for i, name in enumerate(FILES))])
    found, texts = both(beside(tmp_path, table), tmp_path)
    assert {label for label, _ in found.values()} == set(names)
    assert len(texts) == (names == ("Cat", "cat"))


def test_several_labels_as_python_writes_a_list(tmp_path: Path) -> None:
    table = "file,label\n00.png,\"['dog', 'cat']\"\n01.png,['cat']\n02.png,[]\n"
    found, _ = both(beside(tmp_path, table), tmp_path)
    assert [label for label, _ in found.values()] == ["cat|dog", "cat", ""]


def test_words_of_splits_in_any_case(tmp_path: Path) -> None:
    words = ["Train", "TEST", "valid", "Validation"]
    table = "\n".join(["file,label,Split", *(f"{n},{LABELS[n]},{w}" for n, w in zip(FILES, words, strict=True))])
    found, _ = both(beside(tmp_path, table), tmp_path)
    assert [split for _, split in found.values()] == ["train", "test", "val", "val"]


def test_what_was_read_in_another_way_is_said(tmp_path: Path) -> None:
    _, texts = both(beside(tmp_path, rows(), "imgs/"), tmp_path)
    assert texts == ["labels.csv: files that are named in another way: 4; '00.png' was read as imgs/00.png"]


def test_folders_of_splits_and_a_test_folder_that_it_does_not_list(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", [*(f"Training/{name}" for name in FILES), "Test/9.png", "unlabeled/8.png"])
    (root / "labels.csv").write_text(rows())
    found, texts = both(root, tmp_path)
    expected = {f"Training/{name}": (label, "train") for name, label in LABELS.items()}
    assert found == expected | {"Test/9.png": ("", "unlabelled"), "unlabeled/8.png": ("", "unlabelled")}
    assert texts[-1].startswith("labels.csv lists no image of Test, so they are taken as unlabelled")
    assert "took the folders Training as train, unlabeled as unlabelled" in texts


def test_folders_of_splits_within_another(tmp_path: Path) -> None:
    folders = ["images/train", "images/train/deep", "images/test_set", "images/test_set"]
    names = [f"{folder}/{name}" for folder, name in zip(folders, FILES, strict=True)]
    root = lay(tmp_path / "in", [*names, "images/unlabeled/8.png", "images/dev/9.png", "more/testing/7.png"])
    (root / "labels.csv").write_text("".join(["file,label\n", *(f"{name},{LABELS[name[-6:]]}\n" for name in names)]))
    found, texts = both(root, tmp_path)
    assert {name: found[name] for name in names} == {
        name: (LABELS[name[-6:]], "test" if "test_set" in name else "train") for name in names
    }
    without = found.keys() - set(names)
    assert {name: found[name] for name in without} == dict.fromkeys(
        ["images/unlabeled/8.png", "more/testing/7.png"], ("", "unlabelled")
    )
    assert texts == [
        "took the folders test_set as test, unlabeled as unlabelled",
        "labels.csv lists no image of more/testing, so they are taken as unlabelled: predicted, never scored",
        "left out 1 image that labels.csv does not list: images/dev/9.png",
    ]


@pytest.mark.parametrize(("folder", "split"), [("test", "test"), ("deep/valid", "val")])
@pytest.mark.parametrize("other", ["", "images/"])
def test_images_beside_folders_of_test_or_val_alone_are_for_training(
    tmp_path: Path, folder: str, split: str, other: str
) -> None:
    root = lay(tmp_path / "in", [f"{other}1.png", f"{other}2.png", f"{folder}/9.png"])
    (root / "labels.csv").write_text(f"file,label\n{other}1.png,cat\n{other}2.png,dog\n{folder}/9.png,dog\n")
    found, _ = both(root, tmp_path)
    assert found == {
        f"{other}1.png": ("cat", ""),
        f"{other}2.png": ("dog", ""),
        f"{folder}/9.png": ("dog", split),
    }


def test_folders_of_predictions_say_no_split(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", [*(f"predict/{name}" for name in FILES), "prediction/9.png", "Unlabeled_images/8.png"])
    (root / "labels.csv").write_text(rows("predict/{},{}".format))
    found, texts = both(root, tmp_path)
    expected = {f"predict/{name}": (label, "") for name, label in LABELS.items()}
    assert found == expected | {"Unlabeled_images/8.png": ("", "unlabelled")}
    assert texts == [
        "took the folder Unlabeled_images as unlabelled",
        "left out 1 image that labels.csv does not list: prediction/9.png",
    ]


def test_a_folder_of_train_beside_images_of_no_split_is_refused(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", ["train/1.png", "holdout/2.png"])
    (root / "labels.csv").write_text("file,label\ntrain/1.png,cat\nholdout/2.png,dog\n")
    for number, path in enumerate((root, zipped(root))):
        with pytest.raises(TouchstoneError, match=r"holdout/2.png in none of a split; move or rename either"):
            read(path, tmp_path / f"raw{number}")
    (root / "labels.csv").write_text("file,label,split\ntrain/1.png,cat,\nholdout/2.png,dog,test\n")
    (tmp_path / "again").mkdir()
    found, _ = both(root, tmp_path / "again")
    assert found == {"train/1.png": ("cat", "train"), "holdout/2.png": ("dog", "test")}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (rows() + "99.png,cat\n", "labels.csv, line 6: no image '99.png' beside labels.csv"),
        (rows() + "00.png,cat\n", "labels.csv, line 6: 00.png is listed twice; join its classes by |"),
        (rows() + "\n1,cat\n", "line 7: no image '1' beside labels.csv"),
        (rows("{},\"['cat', 'dog']\"".format), "every image is cat|dog, so there is nothing to learn"),
        (rows().replace("03.png,cat", "03.png"), "line 5: got 1 cells, expected 2: file,label"),
        (rows("{},{},x".format), "line 2: got 3 cells, expected 2: file,label"),
        (rows("{},{},fold 1".format, "file,label,split"), "line 2: got the split 'fold 1', expected train, val, test"),
        ("file,label\n00.png,k\xe4se\n".encode("latin-1"), "labels.csv: not UTF-8 at byte 19; save it as UTF-8"),
    ],
)
def test_everything_else_is_one_line_with_the_row(tmp_path: Path, table: str | bytes, said: str) -> None:
    path = beside(tmp_path, table)
    for number, each in enumerate((path, zipped(path))):
        with pytest.raises(TouchstoneError) as raised:
            read(each, tmp_path / f"raw{number}")
        assert said in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_name_that_fits_two_images_is_refused(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", ["a/1.png", "b/1.png", "b/2.png"])
    (root / "labels.csv").write_text("file,label\n2.png,cat\n1.png,dog\n")
    with pytest.raises(TouchstoneError, match=r"line 3: '1.png' may be a/1.png or b/1.png; write its path from labels"):
        read(root, tmp_path / "raw")

"""`touchstone init` finds out the source once an address is copied, and a table brings its folder."""

import shutil
import struct
from pathlib import Path

import pandas as pd
import pytest

from kit.pictures import classes, lay, zipped
from touchstone.errors import TouchstoneError
from touchstone.studies.opened import detected


def address(path: Path) -> str:
    return f"file://{path}"


def listed(folder: Path, table: str) -> Path:
    """Pictures in one folder, and a table that lists them with a patient each."""
    lay(folder, [f"images/{i}.png" for i in range(8)])
    rows = pd.DataFrame({"file_name": [f"images/{i}.png" for i in range(8)], "label": list("abababab")})
    rows.to_csv(folder / table, index=False)
    return folder


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_table_with_images_is_found_at_an_address_too(tmp_path: Path, kind: str, remote: bool) -> None:
    path = listed(tmp_path / "data", "metadata.csv")
    if kind == "zip":
        path = Path(shutil.make_archive(str(path), "zip", path))
    with detected(address(path) if remote else str(path)) as (place, raw):
        assert place.source == "table"
        assert (raw.classes, len(raw.images)) == (["a", "b"], 8)


def test_class_folders_at_an_address_are_class_folders(tmp_path: Path) -> None:
    with detected(address(lay(tmp_path / "data", classes("cat", "dog")))) as (place, raw):
        assert (place.source, raw.classes) == ("folder", ["cat", "dog"])


def test_a_table_alone_brings_its_folder_and_no_other_table(tmp_path: Path) -> None:
    folder = listed(tmp_path / "data", "mine.csv")
    (folder / "other.csv").write_text("file,label\nimages/none.png,x\n")
    with detected(str(folder / "mine.csv")) as (place, raw):
        assert (place.source, place.path, place.table) == ("table", folder, "mine.csv")
        assert len(raw.images) == 8
    told = f"^{address(folder)}/mine.csv: is a table alone; give the address of the folder"
    with pytest.raises(TouchstoneError, match=told), detected(address(folder / "mine.csv")):
        pass


def test_a_parquet_file_at_an_address_is_a_table(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    names = [f"{i}.png" for i in range(8)]
    lay(tmp_path, names)
    pictures = [{"bytes": (tmp_path / name).read_bytes(), "path": name} for name in names]
    pd.DataFrame({"image": pictures, "label": list("abababab")}).to_parquet(tmp_path / "data.parquet")
    with detected(address(tmp_path / "data.parquet")) as (place, raw):
        assert (place.source, len(raw.images)) == ("table", 8)


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_idx_files_are_found_in_archives_too(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part, number in (("train", 8), ("t10k", 4)):
        head = bytes((0, 0, 8, 3)) + struct.pack(">3I", number, 5, 5)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head + bytes(range(number)) * 25)
        labels = bytes(i % 2 for i in range(number))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(bytes((0, 0, 8, 1)) + struct.pack(">I", number) + labels)
    path = folder if kind == "folder" else shutil.make_archive(str(folder), kind, folder)
    with detected(str(path)) as (place, raw):
        assert (place.source, raw.classes, len(raw.images)) == ("idx", ["0", "1"], 12)


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_captions_beside_a_folder_of_class_folders_are_left_out(tmp_path: Path, kind: str) -> None:
    folder = lay(tmp_path / "data", classes("images/cat", "images/dog"))
    (folder / "metadata.csv").write_text("file_name,text\nimages/cat/0.png,a cat\n")
    with detected(str(folder if kind == "folder" else shutil.make_archive(str(folder), kind, folder))) as (place, raw):
        assert (place.source, raw.classes) == ("folder", ["cat", "dog"])


def test_one_shard_is_a_data_set(tmp_path: Path) -> None:
    lay(tmp_path / "shard", [f"{i}.png" for i in range(8)])
    for i in range(8):
        (tmp_path / f"shard/{i}.cls").write_text("ab"[i % 2])
    path = shutil.make_archive(str(tmp_path / "train-000"), "tar", tmp_path / "shard")
    with detected(path) as (place, raw):
        assert (place.source, raw.classes, len(raw.images)) == ("webdataset", ["a", "b"], 8)


def test_captions_beside_class_folders_do_not_hide_the_classes(tmp_path: Path) -> None:
    path = lay(tmp_path / "data", [*classes("cat", "dog"), ".cache/9.png"])
    (path / "metadata.csv").write_text("file_name,text\ncat/0.png,a cat\n")
    for each in (path, zipped(path)):
        with detected(str(each)) as (place, raw):
            assert (place.source, raw.classes, len(raw.images)) == ("folder", ["cat", "dog"], 4)

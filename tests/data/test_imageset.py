from pathlib import Path

import numpy as np
import pytest

from kit.images import image_set
from touchstone.data.imageset import ImageSet, class_indices, content_hash, load
from touchstone.data.sheets import save_with_sheet
from touchstone.errors import TouchstoneError


def test_save_and_load_are_inverse_and_stable(tmp_path: Path) -> None:
    images = image_set(["a", "b", "ä"])
    save_with_sheet(tmp_path / "one", images, sheet_size=8)
    save_with_sheet(tmp_path / "two", images, sheet_size=8)
    back = load(tmp_path / "one")
    assert np.array_equal(back.images, images.images)
    assert isinstance(back.images, np.memmap)
    assert back.table.equals(images.table)
    for name in ("images.npy", "table.csv", "sheet.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_an_empty_set_is_a_set(tmp_path: Path) -> None:
    save_with_sheet(tmp_path / "none", image_set([]), sheet_size=8)
    assert len(load(tmp_path / "none")) == 0


def test_rows_choose_and_order(tmp_path: Path) -> None:
    images = image_set(["a", "b", "c"])
    save_with_sheet(tmp_path / "some", images, rows=np.array([2, 0]), sheet_size=8)
    back = load(tmp_path / "some")
    assert back.table["label"].tolist() == ["c", "a"]
    assert np.array_equal(back.images, images.images[[2, 0]])


def test_the_hash_follows_pixels_and_labels(tmp_path: Path) -> None:
    images = image_set(["a", "b"])
    save_with_sheet(tmp_path / "x", images, sheet_size=1)
    first = content_hash(tmp_path / "x")
    save_with_sheet(tmp_path / "x", ImageSet(images.images, images.table.assign(label=["b", "a"])), sheet_size=1)
    second = content_hash(tmp_path / "x")
    changed = images.images.copy()
    changed[1, 3, 3, 0] ^= 1
    save_with_sheet(tmp_path / "x", ImageSet(changed, images.table), sheet_size=1)
    assert len({first, second, content_hash(tmp_path / "x")}) == 3


def test_inconsistent_sets_are_refused(tmp_path: Path) -> None:
    images = image_set(["a", "b"])
    with pytest.raises(ValueError, match="2 images and 1 table rows"):
        ImageSet(images.images, images.table[:1])
    with pytest.raises(ValueError, match="float64"):
        ImageSet(images.images / 255, images.table)
    save_with_sheet(tmp_path / "x", images, sheet_size=1)
    (tmp_path / "x/table.csv").write_text("id,label\na,b\n")
    with pytest.raises(TouchstoneError, match="columns missing: source_id, origin"):
        load(tmp_path / "x")
    (tmp_path / "x/images.npy").write_bytes((tmp_path / "x/images.npy").read_bytes()[:-1])
    with pytest.raises(TouchstoneError, match="no readable image set"):
        load(tmp_path / "x")


def test_class_indices_name_the_unknown_label() -> None:
    table = image_set(["b", "a"]).table
    assert class_indices(table["label"], ["a", "b"]).tolist() == [1, 0]
    with pytest.raises(TouchstoneError, match="label 'b' is none of the classes a"):
        class_indices(table["label"], ["a"])

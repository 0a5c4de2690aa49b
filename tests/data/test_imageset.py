from pathlib import Path

import numpy as np
import pytest

from kit.images import image_set
from touchstone.data.as_prepared import stacked
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
    for name in ("images/0000.npy", "table.csv", "sheet.png"):
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


def uneven(sizes: list[tuple[int, int]]) -> tuple[ImageSet, list[np.ndarray]]:
    """Return images of these sizes, padded as in memory, and their pixels alone."""
    rng = np.random.default_rng(0)
    alone = [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    padded, _ = stacked(alone, "shortest_edge")
    table = image_set(["a"] * len(sizes)).table
    table[["height", "width"]] = sizes
    return ImageSet(padded, table), alone


def test_images_of_several_sizes_are_stored_without_padding(tmp_path: Path) -> None:
    images, alone = uneven([(4, 9), (7, 4), (4, 4), (4, 8)])
    save_with_sheet(tmp_path / "one", images, sheet_size=8)
    back = load(tmp_path / "one")
    assert np.load(tmp_path / "one/images/0000.npy").nbytes == sum(each.nbytes for each in alone)
    assert back.images.shape == images.images.shape
    for row, pixels in enumerate(alone):
        assert np.array_equal(back.images[row], pixels)
    assert np.array_equal(back.images[:], images.images)
    save_with_sheet(tmp_path / "two", back, rows=np.array([3, 1]), sheet_size=8)
    some = load(tmp_path / "two")
    assert [np.array_equal(one, alone[row]) for one, row in zip(some.images, (3, 1), strict=True)] == [True, True]
    taken = back.take([3, 1])
    assert np.array_equal(taken.images[:], some.images[:])
    assert taken.table.equals(some.table)


def test_images_whose_sizes_are_not_those_of_the_table_are_refused(tmp_path: Path) -> None:
    images, _ = uneven([(4, 9), (7, 4)])
    save_with_sheet(tmp_path / "x", images, sheet_size=1)
    table = (tmp_path / "x/table.csv").read_text()
    (tmp_path / "x/table.csv").write_text(table.replace(",4,9", ",4,8"))
    with pytest.raises(
        TouchstoneError, match=r"no readable image set.*expected those of 2 images of the table's sizes"
    ):
        load(tmp_path / "x")
    (tmp_path / "x/table.csv").write_text("\n".join(line.rsplit(",", 2)[0] for line in table.splitlines()) + "\n")
    with pytest.raises(TouchstoneError, match="no readable image set"):
        load(tmp_path / "x")


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
    (tmp_path / "x/images/0000.npy").write_bytes((tmp_path / "x/images/0000.npy").read_bytes()[:-1])
    with pytest.raises(TouchstoneError, match="no readable image set"):
        load(tmp_path / "x")


def test_class_indices_name_the_unknown_label() -> None:
    table = image_set(["b", "a"]).table
    assert class_indices(table["label"], ["a", "b"]).tolist() == [1, 0]
    with pytest.raises(TouchstoneError, match="label 'b' is none of the classes a"):
        class_indices(table["label"], ["a"])

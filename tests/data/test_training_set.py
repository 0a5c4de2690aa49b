import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kit.images import image_set
from touchstone.config.schema.data import Arm
from touchstone.data.imageset import ImageSet
from touchstone.data.sheets import save_with_sheet
from touchstone.data.training_set import assemble, combine, manifest
from touchstone.errors import TouchstoneError

TRAIN = image_set(["a", "a", "b"])
FIRST = image_set(["a", "a", "b"], seed=1, origin="first", prefix="f")
SECOND = image_set(["a", "a", "b"], seed=2, origin="second", prefix="s")


def ids(arm: Arm, *added_sets: ImageSet) -> list[str]:
    return combine(arm, train=TRAIN, added_sets=added_sets, name="x").table["id"].tolist()


def test_real_adds_nothing_and_added_images_come_after_the_real_ones() -> None:
    assert ids(Arm()) == ["id00", "id01", "id02"]
    assert ids(Arm(add=("first",)), FIRST) == ["id00", "id01", "id02", "f00", "f01", "f02"]
    assert ids(Arm(add=("first",), real=False), FIRST) == ["f00", "f01", "f02"]


def test_ratio_takes_the_first_of_each_set_in_turn_per_class() -> None:
    arm = Arm(add=("first", "second"), ratio=1.0)
    assert ids(arm, FIRST, SECOND)[3:] == ["f00", "f02", "s00"]  # two of a, one of b
    assert ids(Arm(add=("first", "second"), ratio=2.0), FIRST, SECOND)[3:] == ["f00", "f01", "f02", "s00", "s01", "s02"]


def test_per_class_limits_the_added_images_of_a_class() -> None:
    assert ids(Arm(add=("first",), per_class=1), FIRST)[3:] == ["f00", "f02"]


def test_a_set_listed_twice_is_added_twice() -> None:
    assert ids(Arm(add=("first", "first")), FIRST, FIRST)[3:] == ["f00", "f01", "f02"] * 2


def test_a_ratio_above_the_available_images_is_an_error() -> None:
    asked = r"arms\.x\.ratio: 2.0 asks for 4 added images of class a, but there are 2 in first"
    with pytest.raises(TouchstoneError, match=asked):
        ids(Arm(add=("first",), ratio=2.0), FIRST)
    with pytest.raises(TouchstoneError, match=r"but there are 0 in arms\.add"):
        ids(Arm(ratio=1.0))


def test_gather_takes_pixels_from_the_right_set() -> None:
    data = combine(Arm(add=("first", "second")), train=TRAIN, added_sets=[FIRST, SECOND], name="x")
    index = np.array([8, 0, 4, 4, 2])
    expected = [SECOND.images[2], TRAIN.images[0], FIRST.images[1], FIRST.images[1], TRAIN.images[2]]
    assert np.array_equal(data.gather(index), np.stack(expected))


def test_generated_images_join_padded_ones_at_the_top_left() -> None:
    """Storage is as large as the largest image; smaller images have a height and width of their own."""
    wide = np.zeros((3, 8, 12, 3), np.uint8)
    wide[:, :8, :10] = 7
    padded = ImageSet(wide, TRAIN.table.assign(height=8, width=10))
    data = combine(Arm(add=("first",)), train=padded, added_sets=[FIRST], name="x")
    assert data.table[["height", "width"]].to_numpy().tolist() == [[8, 10]] * 3 + [[8, 8]] * 3
    pixels = data.gather(np.array([0, 4]))
    assert pixels.shape == (2, 8, 12, 3)
    assert np.array_equal(pixels[0], wide[0])
    assert np.array_equal(pixels[1, :, :8], FIRST.images[1])
    assert not pixels[1, :, 8:].any()
    alone = combine(Arm(add=("first",), real=False), train=padded, added_sets=[FIRST], name="x")
    assert "height" not in alone.table


def test_a_changed_added_set_is_refused(tmp_path: Path) -> None:
    save_with_sheet(tmp_path / "first", FIRST, sheet_size=1)
    file = tmp_path / "arm.json"
    file.write_text(json.dumps(manifest(Arm(add=("first",)), augmented=tmp_path)))
    assert len(assemble(file, train=TRAIN, augmented=tmp_path)[0]) == 6
    save_with_sheet(tmp_path / "first", SECOND, sheet_size=1)
    with pytest.raises(TouchstoneError, match="not the added set that"):
        assemble(file, train=TRAIN, augmented=tmp_path)


def test_replicates_have_their_own_images_or_one_set_together(tmp_path: Path) -> None:
    save_with_sheet(tmp_path / "first", FIRST, sheet_size=1)
    file = tmp_path / "arm.json"
    file.write_text(json.dumps(manifest(Arm(add=("first",)), augmented=tmp_path)))
    shared = assemble(file, train=TRAIN, augmented=tmp_path, replicates=(0, 1))
    assert shared[0] is shared[1]
    own = replace(TRAIN, table=TRAIN.table.assign(replicates=["0", "0 1", "1"]))
    first, second = assemble(file, train=own, augmented=tmp_path, replicates=(0, 1)).values()
    assert [one.table["id"][:2].tolist() for one in (first, second)] == [["id00", "id01"], ["id01", "id02"]]
    assert len(first) == len(second) == 5
    assert first.content_hash() != second.content_hash()
    again = assemble(file, train=own, augmented=tmp_path, replicates=(0,))[0]
    assert again.content_hash() == first.content_hash()

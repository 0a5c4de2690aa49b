"""Replicates have images of their own, as few in common as can be, and another one changes none before it."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from touchstone.config.schema.data import Data
from touchstone.data import split_table
from touchstone.data.imageset import ImageSet
from touchstone.data.replicates import COLUMN, draw, of_replicate, overlap, rows_of_replicate, together
from touchstone.errors import TouchstoneError

LABELS = ["a"] * 60 + ["b"] * 45


def drawn(size: int, number: int) -> list[set[int]]:
    """The rows of each replicate."""
    listed = draw(range(len(LABELS)), LABELS, size=size, number=number)
    return [{row for row, each in listed.items() if str(k) in each.split()} for k in range(number)]


def table(size: int, number: int) -> pd.DataFrame:
    listed = draw(range(len(LABELS)), LABELS, size=size, number=number)
    return pd.DataFrame({"id": [f"i{row}" for row in listed], COLUMN: list(listed.values())})


def test_replicates_share_no_image_while_there_are_enough() -> None:
    sets = drawn(20, 4)
    assert [Counter(LABELS[row] for row in each) for each in sets] == [Counter(a=10, b=10)] * 4
    assert len(set.union(*sets)) == 80
    assert overlap(table(20, 4)) == 0


def test_where_there_are_too_few_they_share_as_few_as_can_be_and_say_how_many() -> None:
    sets = drawn(60, 3)  # 30 of each class: 90 are wanted of 60 and of 45
    assert [len(each) for each in sets] == [60] * 3
    assert len(set.union(*sets)) == len(LABELS), "all images are used before one is used again"
    shared = [len(a & b) / 60 for a, b in ((sets[0], sets[1]), (sets[0], sets[2]), (sets[1], sets[2]))]
    assert overlap(table(60, 3)) == pytest.approx(np.mean(shared))


def test_another_replicate_changes_none_before_it() -> None:
    for size in (20, 60):
        assert drawn(size, 5)[:3] == drawn(size, 3)


def test_a_single_draw_takes_the_classes_in_turn() -> None:
    assert sorted(draw(range(5), ["a", "a", "a", "a", "b"], size=3, number=1)) == [0, 1, 4]
    assert sorted(draw(range(5), ["a", "a", "a", "a", "b"], size=99, number=1)) == [0, 1, 2, 3, 4]


def test_images_of_a_replicate_and_of_all() -> None:
    own = ImageSet(np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1), pd.DataFrame({"id": ["x", "y", "z"]}))
    assert of_replicate(own, 4) is own, "all replicates share it"
    whole = together([own, own.take([2, 0])], np.concatenate([own.images, own.take([2, 0]).images]))
    assert whole.table[COLUMN].tolist() == ["0", "0", "0", "1", "1"]
    second = of_replicate(whole, 1)
    assert (second.table["id"].tolist(), second.images.ravel().tolist()) == (["z", "x"], [2, 0])
    assert COLUMN not in second.table
    assert rows_of_replicate(pd.DataFrame({COLUMN: ["10", "1 10", ""]}), 1) == [1], "1 is not 10"
    assert overlap(own.table) == 1


def test_images_of_a_group_that_two_replicates_share_overlap() -> None:
    """No image is in both, but two of the three patients of the first are in the second, too."""
    listed = ["0", "0", "0", "0", "1", "1", "1", "1"]
    groups = ["p", "p", "q", "r", "p", "q", "s", "s"]
    found = pd.DataFrame({"id": list("abcdefgh"), COLUMN: listed, "group": groups})
    assert overlap(found.drop(columns="group")) == 0
    assert overlap(found) == pytest.approx((3 / 4 + 2 / 4) / 2)


def test_each_replicate_needs_images_of_every_class_and_some_of_its_own() -> None:
    labels = ["x|y", "x|y", *["x"] * 18]
    ids = [f"i{row:02d}" for row in range(20)]
    table = pd.DataFrame({"id": ids, "file": ids, "label": labels, "left_out": "", "split": "train"})
    drawn_once = table.copy()
    split_table.draw_training(drawn_once, 5, draws=1, multi_label=True)
    held_out = {"split": ["val", "test"], "label": "x|y", "left_out": "", "id": ["v", "t"]}
    data = Data.model_construct(test_fraction=0.1, val_fraction=0.1, fold="", train_size=5)
    split_table.check_splits(pd.concat([drawn_once, pd.DataFrame(held_out)]), ["x", "y"], data, marked=False)
    split_table.draw_training(table, 5, draws=2, multi_label=True)
    whole = pd.concat([table, pd.DataFrame(held_out | {COLUMN: ""})])
    with pytest.raises(TouchstoneError, match="class 'y' has no training image of a replicate left"):
        split_table.check_splits(whole, ["x", "y"], data, marked=False)
    with pytest.raises(TouchstoneError, match="there are 20 in all, so they would be nearly the same"):
        split_table.draw_training(table.assign(left_out=""), 19, draws=2, multi_label=True)

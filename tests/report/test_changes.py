"""The test images that an arm mends or breaks, those that all runs miss, and the strips of added images."""

import io

import numpy as np
import pandas as pd
from PIL import Image

from touchstone.data.imageset import ImageSet
from touchstone.report import strips
from touchstone.report.changes import changes, missed
from touchstone.report.galleries import LabelledImages, worst


def answers(*predicted: list[int], classes: int = 3) -> np.ndarray:
    """Probabilities (replicates, N, K) of replicates with these predictions."""
    return np.eye(classes, dtype=np.float32)[np.array(predicted)]


def images(labels: list[int]) -> LabelledImages:
    pixels = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    table = pd.DataFrame({"id": [f"i{i}" for i in range(len(labels))], "label": [str(each) for each in labels]})
    files = [f"f{i}" for i in range(len(labels))]
    return LabelledImages(ImageSet(pixels, table), files, np.array(labels), ["a", "b", "c"])


def test_an_image_changes_where_most_replicates_do() -> None:
    test = images([0, 0, 1, 2])
    baseline = answers([1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 1, 1])  # right in 1, 3, 2, 0 of 3
    run = answers([0, 2, 1, 0], [0, 2, 1, 2], [0, 0, 1, 1])  # right in 3, 1, 3, 1 of 3
    found = changes(run, baseline, test, count=5)
    [mended], [broken] = found.mended, found.broken
    assert (mended.file, mended.true, mended.predicted) == ("f0", "a", "b")
    assert (mended.before, mended.after) == (1 / 3, 1)
    assert (broken.file, broken.predicted, broken.after) == ("f1", "c", 1 / 3)
    assert (found.num_mended, found.num_broken) == (1, 1)
    assert changes(run, baseline, test, count=0).mended == ()
    assert changes(run, baseline, test, count=0).num_mended == 1


def test_images_that_change_as_much_keep_their_order() -> None:
    test = images([0, 0])
    baseline = answers([1, 0], [1, 1], [1, 1])  # right in 0, 1 of 3
    run = answers([0, 0], [0, 0], [1, 0])  # right in 2, 3 of 3; 2/3 - 0 and 1 - 1/3 differ in the last digit
    assert [each.file for each in changes(run, baseline, test, count=2).mended] == ["f0", "f1"]


def test_mistakes_of_equally_many_votes_keep_their_order() -> None:
    votes = [[(4, 1, 0), (0, 3, 2)], [(0, 3, 2), (4, 1, 0)]]  # of the wrong class on two images, in three replicates
    for of_images in votes:
        probs = np.zeros((3, 2, 3))  # float64, as shares of votes are
        probs[..., 1] = (np.array(of_images).T + 1 / 6) / 5
        mistakes, number = worst(probs, images([0, 0]), count=2)
        assert [each.file for each in mistakes] == ["f0", "f1"]
        assert number == 2


def test_the_wrong_class_is_one_that_was_predicted() -> None:
    test = images([0])
    baseline = np.array([[[0.9, 0.1, 0.0]], [[0.4, 0.0, 0.6]], [[0.4, 0.0, 0.6]]], np.float32)  # the mean is right
    [mended] = changes(answers([0], [0], [0]), baseline, test, count=1).mended
    assert mended.predicted == "c"


def test_images_that_every_run_misses_stand_by_confusion() -> None:
    test = images([0, 1, 0, 2, 0])
    wrong = answers([1, 2, 2, 2, 2], [1, 2, 2, 2, 2])
    also = answers([1, 2, 2, 2, 2], [0, 2, 2, 0, 2])
    [group], number = missed([wrong, also], test, features=None, count=10)
    assert (group.total, group.confusions) == (4, "a taken for c (2), a taken for b (1), b taken for c (1)")
    assert [(each.file, each.true, each.predicted) for each in group.images] == [
        ("f2", "a", "c"),
        ("f4", "a", "c"),
        ("f0", "a", "b"),
        ("f1", "b", "c"),
    ]
    assert number == 4
    [group], number = missed([wrong, also], test, features=None, count=1)
    assert (len(group.images), group.total, number) == (1, 4, 4)
    assert missed([wrong, also], test, features=None, count=0)[0][0].images == ()


def test_missed_images_that_resemble_one_another_are_grouped() -> None:
    test = images([0] * 12)
    wrong = answers([1] * 12)
    look = np.repeat([0.0, 5.0], [4, 8])[:, None] + np.linspace(0, 0.1, 12)[:, None]  # two clusters
    found, number = missed([wrong, wrong], test, features=look.astype(np.float16), count=6)
    rows = [{each.row for each in group.images} for group in found]
    assert number == sum(group.total for group in found) == 12
    assert len(found) == 3, "an image for every four"
    assert all(group <= set(range(4)) or group <= set(range(4, 12)) for group in rows), "none mixes the two"
    assert all(len(group.images) <= 2 for group in found)
    assert [group.total for group in found] == sorted((group.total for group in found), reverse=True)


def test_a_strip_shows_the_same_images_under_a_transform() -> None:
    train = images([0, 1, 2, 0]).images
    rows = strips.chosen(train)
    assert sorted(rows) == [0, 1, 2, 3]
    order = [3, 1, 0, 2]
    added = ImageSet(
        100 + train.images[order], pd.DataFrame({"source_id": train.table["id"].iloc[order], "label": "x"})
    )
    real, made = (
        np.asarray(Image.open(io.BytesIO(png)).convert("L"))
        for png in (strips.plain(train, rows), strips.transformed(added, train, rows))
    )
    inside = real < 255
    assert (made[inside] == real[inside] + 100).all()

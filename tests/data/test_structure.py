"""Tests what folders mean: names of splits in many forms, wrappers, classes that look like splits, and remarks."""

from collections import Counter
from pathlib import Path

import pytest

from kit.pictures import both, classes, lay, read, zipped
from touchstone.data.sources._roles import is_unlabelled, plain_role, role
from touchstone.errors import TouchstoneError


def splits(found: dict[str, tuple[str, str]]) -> dict[tuple[str, str], int]:
    return dict(Counter(found.values()))


@pytest.mark.parametrize(
    ("tops", "said"),
    [
        (("Training", "Testing"), ["took the folders Training as train, Testing as test"]),
        (("seg_train", "seg_test"), ["took the folders seg_train as train, seg_test as test"]),
        (("Train", "Test", "Valid"), ["took the folders Train as train, Valid as val, Test as test"]),
        (("training_set", "test_set"), ["took the folders training_set as train, test_set as test"]),
        (("train", "valid", "test"), ["took the folder valid as val"]),
        (("train_images", "dev-images", "TestImages"), None),
        (("train2017", "val2017"), None),
        (("train", "val", "test"), []),
    ],
)
def test_near_names_of_splits_are_splits_and_never_classes(
    tmp_path: Path, tops: tuple[str, ...], said: list[str] | None
) -> None:
    names = classes(*(f"{top}/{label}" for top in tops for label in ("glioma", "notumor")))
    found, texts = both(lay(tmp_path / "in", names), tmp_path)
    assert splits(found) == {(label, role(top)): 2 for top in tops for label in ("glioma", "notumor")}
    assert said is None or texts == said
    assert set(found) == set(names), "files keep their names"


def test_words_of_splits() -> None:
    assert [plain_role(name) for name in ("TRAIN", "Validation", "train_images", "test2017")] == [
        *("train", "val", "train", "test")
    ]
    assert [plain_role(name) for name in ("test_tube", "trainer", "seg_train", "train_val", "plane")] == [""] * 5
    assert (role("seg_train"), role("train_val"), role("train_unlabelled")) == ("train", "", "unlabelled")
    assert is_unlabelled("Unlabeled_images")
    assert not is_unlabelled("prediction")


def test_the_scenes_of_intel_with_their_inner_folders_and_images_to_predict(tmp_path: Path) -> None:
    names = classes(*(f"seg_{s}/seg_{s}/{label}" for s in ("train", "test") for label in ("sea", "street")))
    found, texts = both(lay(tmp_path / "in", [*names, *classes("seg_pred/seg_pred")]), tmp_path)
    counts = {(label, s): 2 for s in ("train", "test") for label in ("sea", "street")} | {("", "unlabelled"): 2}
    assert splits(found) == counts
    assert texts == ["took the folders seg_train as train, seg_test as test, seg_pred as unlabelled"]


@pytest.mark.parametrize("around", ["a", "a/b", "a/b/c"])
def test_folders_that_hold_only_one_folder_are_seen_through(tmp_path: Path, around: str) -> None:
    lay(tmp_path / "in" / around, classes("cat", "dog"))
    found, texts = both(tmp_path / "in", tmp_path)
    assert found == {name: (name[:3], "") for name in classes("cat", "dog")}
    assert texts == []


@pytest.mark.parametrize("tops", [("train/train", "test/test"), ("train/images", "test/images"), ("train/train",)])
def test_splits_within_a_folder_of_their_own_are_seen_through(tmp_path: Path, tops: tuple[str, ...]) -> None:
    names = classes(*(f"{top}/{label}" for top in tops for label in ("cat", "dog")))
    found, _ = both(lay(tmp_path / "in", names), tmp_path)
    assert splits(found) == {(label, top.split("/")[0]): 2 for top in tops for label in ("cat", "dog")}


@pytest.mark.parametrize("name", ["unlabelled", "unlabeled", "Unlabeled", "unlabelled_images"])
@pytest.mark.parametrize("top", ["", "train/"])
def test_images_without_a_class_under_either_spelling(tmp_path: Path, name: str, top: str) -> None:
    found, _ = both(lay(tmp_path / "in", classes(f"{top}cat", f"{top}dog", f"{name}/deep")), tmp_path)
    assert splits(found) == {("cat", top[:-1]): 2, ("dog", top[:-1]): 2, ("", "unlabelled"): 2}


@pytest.mark.parametrize("flat", ["test", "test/images", "Test/unknown", "test/test"])
def test_a_flat_test_folder_is_unlabelled_and_said_to_be(tmp_path: Path, flat: str) -> None:
    found, texts = both(lay(tmp_path / "in", classes("train/cat", "train/dog", flat)), tmp_path)
    assert splits(found) == {("cat", "train"): 2, ("dog", "train"): 2, ("", "unlabelled"): 2}
    assert f"{flat[:4]} holds 2 images outside of class folders, so they are taken as unlabelled" in texts[-1]


@pytest.mark.parametrize("pair", [("train", "plane"), ("valid", "invalid"), ("test", "control")])
def test_classes_that_have_a_splits_name(tmp_path: Path, pair: tuple[str, str]) -> None:
    found, texts = both(lay(tmp_path / "in", classes(*pair)), tmp_path)
    assert splits(found) == {(label, ""): 2 for label in pair}
    assert texts == [f"{pair[0]} is taken as a class: like {pair[1]} it holds images and no class folders"]


def test_classes_with_a_word_of_a_split_in_their_name(tmp_path: Path) -> None:
    found, texts = both(lay(tmp_path / "in", classes("test_tube", "training_shoe", "beaker")), tmp_path)
    assert splits(found) == {(label, ""): 2 for label in ("test_tube", "training_shoe", "beaker")}
    assert texts == []


def test_two_classes_that_differ_in_case_are_told(tmp_path: Path) -> None:
    found, texts = both(lay(tmp_path / "in", classes("cat", "Cat", "dog")), tmp_path)
    assert splits(found) == {("cat", ""): 2, ("Cat", ""): 2, ("dog", ""): 2}, "letters are classes: a, A"
    assert texts == ["classes differ in case alone: Cat and cat; give them one name if they are one"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            classes("one/cat", "one/dog", "two/cat", "two/dog"),
            "the folders one, two have the same folders in them (cat, d",
        ),
        (
            [*classes("one/cat", "one/dog", "two/cat", "two/dog", count=5), "one/plot.png", "two/plot.png"],
            "the folders one, two have the same folders in them (cat, dog), so those may be the classes: rename the",
        ),
        (
            classes("trainA", "trainB", "testA", "testB"),
            "the folders testA, testB, trainA, trainB are named after splits (train, test), which would be taken as "
            "classes: move their images to train/<class>/ and test/<class>/, or rename the folders if they are classes",
        ),
        (
            classes("train_cats", "train_dogs", "test_cats", "test_dogs", "unlabeled"),
            "are named after splits (train, te",
        ),
        (
            classes("valA", "testA"),
            "splits (val, test), which would be taken as classes: move their images to train/<class>/, val/<class>/ "
            "and test/<class>/, or",
        ),
        (
            classes("trainA", "val_set_A", "test_A"),
            "move their images to train/<class>/, val/<class>/ and test/<class>/, or rename",
        ),
        (
            classes("cat/train", "cat/test", "dog/train", "dog/test"),
            "the folders cat, dog have the same folders in them (test, train), so those may be splits: turn the "
            "folders around, to train/cat and test/cat; if the outer",
        ),
        (classes("train", "test_cats"), "the folders test_cats, train are named after splits (train, test)"),
        (
            classes("images", "masks"),
            "masks beside images seems to hold masks, which would be taken as a class; move it away, or rename both",
        ),
        (classes("train/imgs", "train/labels"), "train/labels beside train/imgs seems to hold masks"),
        (
            classes("train/a/x", "train/a/y", "train/b/x", "train/b/y"),
            "a, b in train/ have the same folders in them (x, y)",
        ),
        (classes("cat", "dog", "test"), "rename test if that is a class, or unlabelled if its images have no class"),
        (classes("Train/cat", "Train/dog", "train/cat"), "the folders Train and train are both taken as train"),
        (classes("Training", "Testing"), "is not in a class folder; expected <class>/<image> under each of train"),
        (classes("train/cat", "train/dog", "plane"), "got the folder plane beside a split's (train)"),
        (classes("cat", "cat/mask", "dog", "dog/mask"), "cat/mask seems to hold masks, which would be taken as images"),
        (classes("train/cat", "train/dog", "test/cat", "test/fox"), "the class fox of test is not in train"),
        (
            [*classes("train/cat", "train/dog", "test/cat"), "test/dog/"],
            "the class folder test/dog has no images; remove",
        ),
        (
            [*classes("cat", "dog"), "fox/1.CR2"],
            "fox has no images that are read: 1 .cr2 file, a format that is not read",
        ),
        ([*classes("cat", "dog"), "fox/1", "fox/2"], "fox has no images that are read: 2 files without a suffix"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path: Path, names: list[str], said: str) -> None:
    path = lay(tmp_path / "in", names)
    for number, each in enumerate((path, zipped(path))):
        with pytest.raises(TouchstoneError) as raised:
            read(each, tmp_path / f"raw{number}")
        assert said in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("names", "shared"),
    [
        (classes("b1/cat", "b1/dog", "b2/dog", "b2/fox"), "b1, b2 are taken as classes although they have the same "),
        ([*classes("b1/cat", "b1/dog", "b2/dog", "b2/fox"), "b1/plot.png"], "b1, b2 are taken as classes although "),
        (classes("b1/cat", "b1/dog", "b2/cat", "b2/dog", "b3"), "b1, b2 are taken as classes although they have the "),
        (classes("train/b1/cat", "train/b1/dog", "train/b2/dog"), "train/b1, train/b2 are taken as classes although "),
    ],
)
def test_classes_that_share_some_of_their_folders_are_told(tmp_path: Path, names: list[str], shared: str) -> None:
    found, texts = both(lay(tmp_path / "in", names), tmp_path)
    assert {label[0] for label, _ in found.values()} == {"b"}
    assert len(texts) == 1
    assert texts[0].startswith(shared)
    assert "dog); if those are the classes, rename the outer ones" in texts[0]


def test_folders_of_splits_within_some_classes_are_told(tmp_path: Path) -> None:
    names = classes("cat/train", "cat/dev", "dog/train", "dog/dev", "fox/wild")
    found, texts = both(lay(tmp_path / "in", names), tmp_path)
    assert {label for label, _ in found.values()} == {"cat", "dog", "fox"}
    assert texts == [
        "cat, dog are taken as classes although they have the same folders in them (dev, train); if those are splits, "
        "turn the folders around, to train/cat and val/cat"
    ]


@pytest.mark.parametrize(
    "pair", [("bullet train", "test tube"), ("train_ticket", "test_tube"), ("dev_board", "test_tube")]
)
def test_two_classes_with_words_of_two_splits_that_share_nothing_else(tmp_path: Path, pair: tuple[str, str]) -> None:
    found, texts = both(lay(tmp_path / "in", classes(*pair)), tmp_path)
    assert splits(found) == {(label, ""): 2 for label in pair}
    assert texts == []


@pytest.mark.parametrize(
    "names",
    [
        classes("cat/indoor", "cat/outdoor", "dog/garden"),
        classes("cat/images", "cat/extra", "dog/images"),
        classes("cat/indoor", "dog/indoor"),
        classes("cat", "cat/indoor", "cat/outdoor", "dog", "dog/indoor", "dog", "dog/outdoor", count=1)
        + classes("cat", "dog", count=5),
        classes("cat", "dog", count=4) + classes("cat/front", "cat/side", "dog/front", "dog/side", count=3),
        classes("cat", "dog", count=1) + classes("cat/front", "cat/side", "dog/front", "dog/side", count=4),
        classes("mask", "no_mask"),
    ],
)
def test_folders_within_classes_and_a_class_called_mask_are_a_matter_of_course(
    tmp_path: Path, names: list[str]
) -> None:
    found, texts = both(lay(tmp_path / "in", names), tmp_path)
    assert found == {name: (name.split("/")[0], "") for name in names}
    assert texts == []


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (
            ["cat/1.NEF", "cat/2.nef"],
            "left out 2 .nef files (cat 2), a format that is not read; convert them to .png or .jpg",
        ),
        (["cat/1.cr2", "dog/1.CR2"], "left out 2 .cr2 files (cat 1, dog 1), a format that is not read; convert them"),
        (["cat/01"], "left out 1 file without a suffix (cat 1), which are not read"),
        (["train.zip"], "left out 1 .zip file, an archive within the data; unpack it"),
        ([".22 rifle/1.png", ".22 rifle/2.png"], "left out hidden folders with images: .22 rifle (2); rename those"),
    ],
)
def test_pictures_that_are_left_out_are_counted_by_class(tmp_path: Path, extra: list[str], said: str) -> None:
    found, texts = both(lay(tmp_path / "in", [*classes("cat", "dog"), *extra]), tmp_path)
    assert splits(found) == {("cat", ""): 2, ("dog", ""): 2}
    assert len(texts) == 1
    assert texts[0].startswith(said)


def test_a_class_with_one_training_image_is_read(tmp_path: Path) -> None:
    names = [*classes("train/cat", "train/dog", "test/cat", "test/dog"), "train/fox/1.png"]
    found, texts = both(lay(tmp_path / "in", names), tmp_path)
    assert found["train/fox/1.png"] == ("fox", "train")
    assert texts == []

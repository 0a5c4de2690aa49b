"""Names of splits and classes as data sets write them."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from touchstone.data.sources._roles import is_unlabelled, meanings, plain_role, role
from touchstone.data.splits import SPLITS, UNLABELLED
from touchstone.errors import TouchstoneError


def split_of(word: str, *, where: str) -> str:
    """Return the split that the cell of a table means, "" for an empty one. Raises TouchstoneError on other words."""
    split = plain_role(word)
    if word.strip() and not split:
        raise TouchstoneError(f"{where}: got the split {word!r}, expected {', '.join(SPLITS)} or nothing; correct it")
    return split


def split_in(name: str) -> str:
    """Return the split that a file's name, or else the nearest of its folders, says; "" where none says one.

    Words are those of `role`: `train-00000-of-00002.parquet`, `TrainImages` and `instances_val2017.json` say train and
    val. A name that says two, such as `train_test.csv`, says none.
    """
    return next((role(part) for part in reversed(name.split("/")) if meanings(part)), "")


def splits_of_files(names: Iterable[str], *, where: str) -> dict[str, str]:
    """Return file -> the split that `split_in` finds. Raises TouchstoneError where only some of them say one."""
    splits = {name: split_in(name) for name in names}
    silent, speaking = [[n for n, split in splits.items() if bool(split) is says] for says in (False, True)]
    if silent and speaking:
        raise _silent_file(silent[0], speaking[0], where)
    return splits


def check_tables(splits: Mapping[str, str], *, where: str) -> None:
    """Raise TouchstoneError where a table is named after train and another one gives no split to some of its images.

    splits: table -> the split of its name, "" where nothing gives a split to some of its labelled images. These could
    be a holdout, and would be trained on. Beside tables of val and test alone they are the training images.
    """
    if (silent := _first(splits, "")) and (training := _first(splits, "train")):
        raise _silent_file(silent, training, where)


def _silent_file(silent: str, speaking: str, where: str) -> TouchstoneError:
    expected = "expected a split in every name or in none"
    return TouchstoneError(f"{where}: {silent} names no split, {speaking} does; {expected}: rename it")


def _first(splits: Mapping[str, str], wanted: str) -> str:
    return min((name for name, split in splits.items() if split == wanted), default="")


def folder_of_split(name: str) -> tuple[str, str]:
    """Return the folder that says the split of an image, and that split; twice "" where no folder says one.

    It is the nearest whose name is a split's and nothing else (`plain_role`); one for images without a class goes
    before all others. `predict` and its like say none: YOLO and others write images there that may have labels.
    """
    return _folder_of_split(name.rpartition("/")[0])


@lru_cache(maxsize=10_000)
def _folder_of_split(folder: str) -> tuple[str, str]:
    parts = folder.split("/")
    around = ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]
    found = [(each, split) for each in around if (split := _split_of_folder(each.rpartition("/")[2]))]
    return next((each for each in found if each[1] == UNLABELLED), found[0] if found else ("", ""))


def _split_of_folder(name: str) -> str:
    split = plain_role(name)
    return "" if split == UNLABELLED and not is_unlabelled(name) else split


def split_of_image(name: str, label: str, *, where: str) -> str:
    """Return the split that the folders of an image say, "" for none.

    Raises TouchstoneError where an image with a label lies in a folder for images without a class.
    """
    folder, split = folder_of_split(name)
    if label and split == UNLABELLED:
        remedy = "move it or remove the label"
        raise TouchstoneError(f"{where}: {name} lies in {folder} and has the label {label!r}; {remedy}")
    return split


def check_images(splits: Mapping[str, str], *, where: str) -> None:
    """Raise TouchstoneError where some images lie in a folder of train and others in none of a split.

    splits: image -> its split by `folder_of_split`, for the images whose split nothing else says. The others could be
    a holdout, and would be trained on. Beside folders of val and test alone they are the training images.
    """
    if (silent := _first(splits, "")) and (training := _first(splits, "train")):
        raise TouchstoneError(
            f"{where}: {training} lies in a folder of train, {silent} in none of a split; move or rename either "
            "folder, or give the splits in a column of the table"
        )


def numbered(number: int, classes: list[str], *, where: str) -> str:
    """Return the name of the class with this number, or the number itself where no names are given.

    Raises TouchstoneError where names are given and the number is not one of theirs.
    """
    if classes and not 0 <= number < len(classes):
        raise TouchstoneError(f"{where}: got the class number {number}, expected 0 to {len(classes) - 1}; correct it")
    return classes[number] if classes else str(number)

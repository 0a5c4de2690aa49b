"""Names of splits and classes as data sets write them."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from touchstone.data.sources._roles import meanings, plain_role, role
from touchstone.data.splits import LABELLED, SPLITS, UNLABELLED
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
        expected = "expected a split in every name or in none"
        raise TouchstoneError(f"{where}: {silent[0]} names no split, {speaking[0]} does; {expected}: rename it")
    return splits


def folder_of_split(name: str) -> tuple[str, str]:
    """Return the folder that says the split of an image, and that split; twice "" where no folder says one.

    It is the nearest whose name is a split's and nothing else (`plain_role`); one for images without a class goes
    before all others.
    """
    return _folder_of_split(name.rpartition("/")[0])


@lru_cache(maxsize=10_000)
def _folder_of_split(folder: str) -> tuple[str, str]:
    parts = folder.split("/")
    around = ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]
    found = [(each, split) for each in around if (split := plain_role(each.rpartition("/")[2]))]
    return next((each for each in found if each[1] == UNLABELLED), found[0] if found else ("", ""))


def check_all_or_none(splits: Mapping[str, str], *, where: str) -> None:
    """Raise TouchstoneError where folders give a split to some images and none to others.

    splits: image -> its split by `folder_of_split`, for the images whose split nothing else says.
    """
    silent = min((name for name, split in splits.items() if not split), default="")
    speaking = min((name for name, split in splits.items() if split in LABELLED), default="")
    if silent and speaking:
        raise TouchstoneError(
            f"{where}: {speaking} lies in a folder of {splits[speaking]}, {silent} in none of a split; move it, or "
            "give the splits in a column of the table"
        )


def numbered(number: int, classes: list[str], *, where: str) -> str:
    """Return the name of the class with this number, or the number itself where no names are given.

    Raises TouchstoneError where names are given and the number is not one of theirs.
    """
    if classes and not 0 <= number < len(classes):
        raise TouchstoneError(f"{where}: got the class number {number}, expected 0 to {len(classes) - 1}; correct it")
    return classes[number] if classes else str(number)

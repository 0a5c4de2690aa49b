"""Names of splits and classes as data sets write them."""

import re
from collections.abc import Iterable
from pathlib import Path

from touchstone.data.sources._files import class_name, read_bytes
from touchstone.data.sources._roles import SPLIT_OF
from touchstone.data.splits import SPLITS
from touchstone.errors import TouchstoneError

CLASS_LISTS = ("classes.txt", "classnames.txt")  # a class per line, in the order of their numbers


def split_of(word: str, *, where: str) -> str:
    """Return the split that the cell of a table means, "" for an empty one. Raises TouchstoneError on other words."""
    split = SPLIT_OF.get(word.strip().lower(), "")
    if word.strip() and not split:
        raise TouchstoneError(f"{where}: got the split {word!r}, expected {', '.join(SPLITS)} or nothing; correct it")
    return split


def split_in(name: str) -> str:
    """Return the split that a file's name, or else the nearest of its folders, says; "" where none says one.

    Words are runs of letters: `train-00000-of-00002.parquet` and `instances_val2017.json` say train and val, and a name
    that says two, such as `train_test.csv`, says none.
    """
    for part in reversed(name.split("/")):
        found = {SPLIT_OF[word] for word in re.findall("[a-z]+", part.lower()) if word in SPLIT_OF}
        if found:
            return found.pop() if len(found) == 1 else ""
    return ""


def splits_of_files(names: Iterable[str], *, where: str) -> dict[str, str]:
    """Return file -> the split that `split_in` finds. Raises TouchstoneError where only some of them say one."""
    splits = {name: split_in(name) for name in names}
    silent, speaking = [[n for n, split in splits.items() if bool(split) is says] for says in (False, True)]
    if silent and speaking:
        expected = "expected a split in every name or in none"
        raise TouchstoneError(f"{where}: {silent[0]} names no split, {speaking[0]} does; {expected}: rename it")
    return splits


def class_list(path: Path) -> list[str]:
    """Return the names of the classes in `classes.txt` or `classnames.txt` in a folder, in the order of their numbers.

    Returns [] where `path` is no folder or has neither file. Raises TouchstoneError on a name that is empty, repeated
    or not in UTF-8.
    """
    file = next((path / name for name in CLASS_LISTS if (path / name).is_file()), None)
    if file is None:
        return []
    try:
        lines = read_bytes(file).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise TouchstoneError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    classes = [class_name(line.strip(), where=f"{file}, line {number}") for number, line in enumerate(lines, 1)]
    for number, name in enumerate(classes, 1):
        if name in classes[: number - 1]:
            raise TouchstoneError(f"{file}, line {number}: {name} is listed twice; remove one")
    return classes


def numbered(number: int, classes: list[str], *, where: str) -> str:
    """Return the name of the class with this number, or the number itself where no names are given.

    Raises TouchstoneError where names are given and the number is not one of theirs.
    """
    if classes and not 0 <= number < len(classes):
        raise TouchstoneError(f"{where}: got the class number {number}, expected 0 to {len(classes) - 1}; correct it")
    return classes[number] if classes else str(number)

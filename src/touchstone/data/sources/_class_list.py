"""Reads the names of classes beside images whose labels are numbers, from `classes.txt` or `classnames.txt`."""

from pathlib import Path, PurePosixPath

from touchstone.data.sources._files import Files, class_name, read_bytes
from touchstone.errors import TouchstoneError

NAMES = ("classes.txt", "classnames.txt")  # a class per line, in the order of their numbers


def is_class_list(name: str) -> bool:
    """Return whether the posix name is that of a list of classes."""
    return PurePosixPath(name).name in NAMES


def class_list(path: Path) -> tuple[list[str], list[str]]:
    """Return the names of the classes in the order of their numbers, and notes: by a list in a folder or beside a file.

    There are none without a list. Raises TouchstoneError on a name that is empty, repeated or not in UTF-8.
    """
    folder = path if path.is_dir() else path.parent
    file = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if file is None:
        return [], []
    note = (
        f"{file.name} beside it names the classes; DVC notices no change there: after one, `dvc repro --force "
        "download`, or set source.path to their folder"
    )
    return _parse(read_bytes(file), where=str(file)), [] if folder == path else [note]


def class_list_among(files: Files, beside: str, *, where: str) -> list[str]:
    """Return the names of the classes by the list in the nearest folder around the file `beside`; [] without one.

    files: posix name -> a function that reads the file. Raises TouchstoneError as `class_list` does.
    """
    around = (folder / name for folder in PurePosixPath(beside).parents for name in NAMES)
    found = next((str(name) for name in around if str(name) in files), "")
    return _parse(files[found](), where=f"{where}: {found}") if found else []


def _parse(content: bytes, *, where: str) -> list[str]:
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise TouchstoneError(f"{where}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    classes = [class_name(line.strip(), where=f"{where}, line {number}") for number, line in enumerate(lines, 1)]
    for number, name in enumerate(classes, 1):
        if name in classes[: number - 1]:
            raise TouchstoneError(f"{where}, line {number}: {name} is listed twice; remove one")
    return classes

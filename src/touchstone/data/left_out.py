"""Files beside the images that are left out: which of them are pictures all the same, counted by class."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from touchstone.data.archives import SUFFIXES
from touchstone.data.recognise import PICTURES
from touchstone.data.wording import count


def pictures(names: Iterable[str], class_of: Callable[[str], str]) -> list[str]:
    """Return a line for each suffix of files that seem to be images, or hold some, and are not read.

    class_of: the class of a file, by its name; "" where it has none.
    """
    counts: dict[str, Counter[str]] = {}
    for name in names:
        counts.setdefault(kind(name), Counter())[class_of(name)] += 1
    return [
        f"left out {of(suffix, counter.total())}{_classes(counter)}, {remedy(suffix)}"
        for suffix, counter in sorted(counts.items())
        if suffix != "other"
    ]


def kind(name: str) -> str:
    """Return the lower-case suffix of a picture or an archive, "" for a file in a folder without one, else `other`."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in PICTURES:
        return suffix
    if name.lower().endswith(SUFFIXES):
        return next(each for each in SUFFIXES if name.lower().endswith(each))
    return "" if not suffix and "/" in name and not name.rpartition("/")[2].isupper() else "other"  # LICENSE, README


def of(suffix: str, number: int) -> str:
    """Return `3 .heic files`."""
    return count(number, f"{suffix} file".strip()) + ("" if suffix else " without a suffix")


def remedy(suffix: str) -> str:
    """Return what to do with files of a suffix."""
    if suffix in SUFFIXES:
        return "an archive within the data; unpack it"
    if suffix in PICTURES:
        return "a format that is not read; convert them to .png or .jpg"
    return "which are not read; give those that are images their suffix, such as .jpg"


def _classes(counter: Counter[str]) -> str:
    listed = [f"{name} {count}" for name, count in counter.most_common() if name]
    return f" ({', '.join(listed[:5])}{', ...' if len(listed) > 5 else ''})" if listed else ""

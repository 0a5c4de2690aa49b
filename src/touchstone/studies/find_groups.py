"""Find out which images belong together, such as those of a patient, by the columns of a table and the names of files.

What is found is proposed as `data.group` only where preparation will accept it: with a group in each name, no group in
two official splits, and training, validation and test images once whole groups are drawn. Otherwise a note says why.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from touchstone.data.groups import group_of
from touchstone.data.labels import names
from touchstone.data.sources import RawImage
from touchstone.data.splits import assign
from touchstone.data.wording import count

WORDS = (
    *("patient", "subject", "person", "participant", "case", "donor", "animal", "plant", "scene", "video", "clip"),
    *("burst", "session", "product", "item", "slide", "site", "plot", "user"),
)
NUMBERED = "[-_ ]?[A-Za-z]*[0-9]+"
COLUMN = re.compile(rf"(?:group|{'|'.join(WORDS)})s?[-_ ]?(?:id|no|number)?", re.IGNORECASE)
STEM = re.compile(r"([^/]+?)[-_ (]+[0-9]+\)?\.[A-Za-z0-9]+$")
COVERED = 0.9  # least share of the images that have a group
FEWEST = 6  # groups
LARGEST = 0.2  # share of the images that one group may have at most


class Draw(NamedTuple):
    """Settings of `data` by which splits that are not given are drawn."""

    test_fraction: float
    val_fraction: float
    seed: int


class Groups(NamedTuple):
    """Groups of images."""

    setting: str
    """A setting for `data.group`, or ""."""
    about: str
    """The place where the groups were found, with numbers, or ""."""
    notes: list[str]
    """Lines on what looks like groups and is not proposed."""


class _Candidate(NamedTuple):
    setting: str
    values: list[str]
    """The group of each image, "" for none."""
    source: str

    @property
    def about(self) -> str:
        return f"{self.source} {len(set(self.values) - {''}):,} groups, such as {next(filter(None, self.values))}"


def find_groups(images: Sequence[RawImage], draw: Draw) -> Groups:
    """Return the first groups of some labelled images that preparation will accept where it draws splits so."""
    notes: list[str] = []
    for candidate in (*_columns(images), *_patterns(images)):
        if not _are_groups(candidate.values):
            continue
        obstacle = _obstacle(images, candidate, draw)
        if not obstacle:
            return Groups(candidate.setting, candidate.about, notes)
        notes.append(f"{candidate.about}, but {obstacle}")
    return Groups("", "", notes or _hints(images))


def _columns(images: Sequence[RawImage]) -> Iterator[_Candidate]:
    for column in images[0].columns if images else ():
        if COLUMN.fullmatch(column):
            yield _Candidate(column, [image.columns[column] for image in images], f"the column {column} names")


def _patterns(images: Sequence[RawImage]) -> Iterator[_Candidate]:
    """Yield patterns that find groups in paths, or else in the files' own names, and not the names of the classes."""
    paths = [image.file.lower() for image in images]
    for word in WORDS if paths else ():
        if sum(word in path for path in paths) < COVERED * len(paths):
            continue
        for end in ("(?:[-_./ ]|$)", "(?:[-_. ][^/]*)?$"):
            pattern = f"(?i)({word}{NUMBERED}){end}"
            values = [group_of(image, pattern) for image in images]
            in_class = (
                value and value.lower() in image.label.lower() for image, value in zip(images, values, strict=True)
            )
            if not any(in_class):
                yield _Candidate(pattern, values, "file names hold")
                break


def _are_groups(values: Sequence[str]) -> bool:
    """Return whether values name groups: nearly all images have one, groups are several and none is large."""
    counts = Counter(value for value in values if value)
    covered = sum(counts.values())
    return (
        covered >= COVERED * len(values)
        and len(counts) >= FEWEST
        and covered >= 1.5 * len(counts)
        and max(counts.values()) <= LARGEST * len(values)
    )


def _obstacle(images: Sequence[RawImage], candidate: _Candidate, draw: Draw) -> str:
    """Return why preparation would refuse these groups, "" where it will not."""
    places: dict[str, set[str]] = {}
    for image, value in zip(images, candidate.values, strict=True):
        places.setdefault(value, set()).add(image.split or "train")
    torn = {value: splits for value, splits in places.items() if value and len(splits) > 1}
    if torn:
        first, splits = min(torn.items())
        return (
            f"{len(torn):,} of them have images in several of the official splits, such as {first} in "
            f"{' and '.join(sorted(splits))}: a leak, so scores will be too high; move each group into one split"
        )
    without = [image.file for image, value in zip(images, candidate.values, strict=True) if not value]
    if without and "(" in candidate.setting:
        return (
            f"{len(without):,} of {count(len(images), 'image')} have none, such as {without[0]}, so groups may be "
            f"divided; rename these and set data.group: '{candidate.setting}'"
        )
    if not _can_be_drawn(images, candidate.values, draw):
        return "they are too few or too large for training, validation and test images of whole groups"
    return ""


def _can_be_drawn(images: Sequence[RawImage], values: Sequence[str], draw: Draw) -> bool:
    """Return whether whole groups can be drawn so that each class has training images and no split is empty."""
    official = {image.split for image in images}
    drawn = assign(
        [f"group {value}" if value else image.id for image, value in zip(images, values, strict=True)],
        [image.label for image in images],
        [image.split for image in images],
        has_test="test" in official,
        test_fraction=draw.test_fraction,
        val_fraction=0.0 if "val" in official else draw.val_fraction,
        fold="",
        seed=draw.seed,
    )
    trained = {
        name for image, split in zip(images, drawn, strict=True) if split == "train" for name in names(image.label)
    }
    return {"val", "test"} <= set(drawn) and all(name in trained for image in images for name in names(image.label))


def _hints(images: Sequence[RawImage]) -> list[str]:
    """Return hints at columns and names that only seem to be those of groups."""
    unused = [
        f"{source} seems to name groups, but they are too few, too large or too small to be split whole"
        for setting, values, _ in _columns(images)
        if len(set(values)) < len(images) and (source := f"the column {setting}")
    ]
    return unused or _series(images)


def _series(images: Sequence[RawImage]) -> list[str]:
    """Return a hint where file names look like series of one thing, such as `rose_01.jpg`, `rose_02.jpg`."""
    stems = [match[1] if (match := STEM.search(image.file)) else "" for image in images]
    if not _are_groups(stems):
        return []
    first = next(filter(None, stems))
    return [
        f"names such as {first}_1 form {len(set(stems) - {''}):,} series: if the images of a series show one thing, "
        "set data.group, or test images will resemble training images"
    ]

"""Finds out in seconds what a data set holds: sizes, classes, splits, copies, groups and unreadable images."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from scipy import stats

from touchstone.data.decode import PLAIN
from touchstone.data.levels import per_level
from touchstone.data.sheets import gallery, spread
from touchstone.data.sources import RawImage, RawSet
from touchstone.data.splits import UNLABELLED
from touchstone.data.wording import count
from touchstone.errors import BadImage
from touchstone.studies.find_groups import find_groups

DECODED = 400  # images that are decoded, evenly over the classes
SHOWN = 48  # of them on the contact sheet
MAX_PIXELS = 50_000_000
GREY_LEVELS = 3  # largest difference between the channels of a picture without colour
INSTRUMENTS = (1023, 4095, 16383)  # the largest values of 10, 12 and 14 bits
UNLIKELY = 0.001  # p-value below which the classes of two splits are mixed in different ways


@dataclass(frozen=True)
class Seen:
    """A description of a data set."""

    num_images: int
    classes: list[str]
    multi_label: bool
    splits: dict[str, int]
    """Official split, or "" for none -> images."""
    counts: dict[str, int]
    """Class -> images with a label."""
    heights: np.ndarray
    """int64, of the images that were decoded."""
    widths: np.ndarray
    grey: bool
    """Whether none of them has colour."""
    unreadable: list[str]
    """`file: reason` of those that cannot be decoded."""
    num_tried: int
    repeats: int
    """Images whose file is also that of an earlier image."""
    conflicts: list[str]
    """Files that lie under two classes, or in two splits, as sentences."""
    group: str
    """A setting for `data.group`, or ""."""
    group_about: str
    """Why, with numbers, or ""."""
    notes: list[str] = field(default_factory=list)
    """Lines on whatever else a user should know."""
    seconds: float = 0.0
    """Of decoding one image of many, in as many threads as there are cores."""

    fewest: tuple[str, int] = ("", 0)
    """The class with the fewest different images outside of the test split, and their number."""
    channels: int = 0
    """Of most of them, where that is neither 1 nor 3, which can be converted to each other; else 0."""
    bits: int = 8
    """16 where most of them have more than 8."""
    white: int = 0
    """The largest value of an instrument of so few bits that it is white in files of 16; 0 for that of 16."""

    @property
    def side(self) -> int:
        """The median of the shorter sides, px."""
        return int(np.median(np.minimum(self.heights, self.widths)))

    @property
    def kind(self) -> str:
        """Return the channels and bits of pictures in words."""
        colours = f"{self.channels} channels" if self.channels else "grey" if self.grey else "colour"
        return f"{colours} of 16 bits" if self.bits == 16 else colours

    @property
    def labelled(self) -> int:
        return self.num_images - self.splits.get(UNLABELLED, 0)


def look(raw: RawSet) -> tuple[Seen, Image.Image]:
    """Look at a data set. Return what was found, and a contact sheet of some of its images."""
    images = raw.images
    labelled = [i for i, image in enumerate(images) if image.split != UNLABELLED]
    rows = [labelled[row] for row in spread([images[i].label for i in labelled], DECODED)] or list(range(len(images)))
    decoded, unreadable = _decoded(raw, rows)
    shapes = np.array([pixels.shape[:2] for pixels in decoded.values()], np.int64).reshape(-1, 2)
    shown = list(decoded)[:: max(1, len(decoded) // SHOWN)][:SHOWN]
    groups = find_groups([images[i] for i in labelled])
    seen = Seen(
        num_images=len(images),
        classes=raw.classes,
        multi_label=raw.multi_label,
        splits=dict(Counter(image.split for image in images)),
        counts={name: sum(name in images[i].labels for i in labelled) for name in raw.classes},
        heights=shapes[:, 0],
        widths=shapes[:, 1],
        grey=bool(decoded) and all(_is_grey(pixels) for pixels in decoded.values()),
        unreadable=unreadable,
        num_tried=len(rows),
        repeats=len(images) - len({image.id for image in images}),
        conflicts=list(_conflicts(images)),
        group=groups.setting,
        group_about=groups.about,
        fewest=_fewest(raw, labelled),
        seconds=_pace(raw),
        channels=(channels := _channels(decoded.values())),
        bits=(bits := _bits(decoded.values())),
        white=_white(decoded.values()) if bits == 16 else 0,
        notes=[
            *_notes(raw, labelled),
            *_mixed(decoded.values(), channels, bits),
            *groups.notes,
        ],
    )
    return seen, gallery([decoded[i] for i in shown])


def _decoded(raw: RawSet, rows: Sequence[int]) -> tuple[dict[int, np.ndarray], list[str]]:
    """The pixels of the rows that can be decoded, and why others cannot."""
    with ThreadPoolExecutor() as pool:
        found = dict(zip(rows, pool.map(lambda row: _attempt(raw, row), rows), strict=True))
    pixels = {row: each for row, each in found.items() if not isinstance(each, str)}
    return pixels, [each for each in found.values() if isinstance(each, str)]


def _attempt(raw: RawSet, row: int) -> np.ndarray | str:
    """The pixels of a row, or why it cannot be decoded."""
    try:
        return raw.pixels(row, channels=None, max_pixels=MAX_PIXELS, bits=16)
    except BadImage as error:
        return f"{raw.images[row].file}: {error}"


def _pace(raw: RawSet) -> float:
    """The seconds of an image, once each thread has opened the files, which takes long where an archive has many."""
    rows = range(min(DECODED, len(raw.images)))
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda row: _attempt(raw, row), rows))
        began = time.perf_counter()
        list(pool.map(lambda row: _attempt(raw, row), rows))
        return (time.perf_counter() - began) / max(1, len(rows))


def _is_grey(pixels: np.ndarray) -> bool:
    ranges = np.ptp(pixels.astype(np.int32), axis=2)
    return int(ranges.max(initial=0)) <= GREY_LEVELS * per_level(pixels.dtype)


def _channels(images: Iterable[np.ndarray]) -> int:
    """Return the commonest number of channels, 0 for those that are converted to each other."""
    counts = Counter(0 if pixels.shape[2] in PLAIN else pixels.shape[2] for pixels in images)
    return counts.most_common(1)[0][0] if counts else 0


def _bits(images: Iterable[np.ndarray]) -> int:
    counts = Counter(8 * pixels.dtype.itemsize for pixels in images)
    return counts.most_common(1)[0][0] if counts else 8


def _white(images: Iterable[np.ndarray]) -> int:
    most = max(int(pixels.max(initial=0)) for pixels in images if pixels.dtype == np.uint16)
    return next((value for value in INSTRUMENTS if most <= value), 0)


def _mixed(images: Iterable[np.ndarray], channels: int, bits: int) -> list[str]:
    """Say how many images have other channels, which cannot be read with the others, or other bits."""
    shapes = [(0 if pixels.shape[2] in PLAIN else pixels.shape[2], 8 * pixels.dtype.itemsize) for pixels in images]
    others = sorted({own for own, _ in shapes if own != channels})
    out = []
    if others:
        number = sum(own != channels for own, _ in shapes)
        named = ", ".join("1 or 3" if own == 0 else str(own) for own in others)
        rest = f"the others {channels}" if channels else "the others 1 or 3"
        out.append(
            f"{number} of {len(shapes)} that were tried have {named} channels, {rest}: they cannot be read together"
        )
    if odd := sum(own != bits for _, own in shapes):
        what = "multiplied by 257 to 16 bits" if bits == 16 else "reduced to 8 bits"
        out.append(f"{odd} of {len(shapes)} that were tried have {24 - bits} bits: their values are {what}")
    return out


def _fewest(raw: RawSet, labelled: Sequence[int]) -> tuple[str, int]:
    own = [raw.images[i] for i in labelled if raw.images[i].split in ("", "train")]
    different = {name: len({image.id for image in own if name in image.labels}) for name in raw.classes}
    return min(different.items(), key=lambda item: item[1], default=("", 0))


def _conflicts(images: Iterable[RawImage]) -> list[str]:
    """Files that are there twice, under two classes or in two splits."""
    by_id: dict[str, list[RawImage]] = {}
    for image in images:
        by_id.setdefault(image.id, []).append(image)
    twice = [group for group in by_id.values() if len(group) > 1]
    out = []
    for what, key in (("two classes", "label"), ("two splits", "split")):
        found = [group for group in twice if len({getattr(each, key) for each in group}) > 1]
        if found:
            pair = {getattr(each, key): each.file for each in found[0]}
            first = " and ".join(list(pair.values())[:2])
            out.append(f"{count(len(found), 'file')} in {what}: {first}{', and others' if len(found) > 1 else ''}")
    return out


def _notes(raw: RawSet, labelled: Sequence[int]) -> list[str]:
    """Warn of classes that are rare, and of splits whose classes are mixed in different ways."""
    out = []
    images = [raw.images[i] for i in labelled]
    counts = Counter(name for image in images for name in image.labels)
    if counts and max(counts.values()) >= 5 * min(counts[name] for name in raw.classes):
        most, least = max(counts, key=lambda name: counts[name]), min(raw.classes, key=lambda name: counts[name])
        out.append(f"classes are imbalanced: {most} has {counts[most]:,} images, {least} {counts[least]:,}")
    for split in ("val", "test"):
        own = {name for image in images if image.split == split for name in image.labels}
        if own and (lacking := [name for name in raw.classes if name not in own]):
            out.append(f"{split} has no image of {', '.join(lacking[:3])}{' and others' if len(lacking) > 3 else ''}")
    splits = [split for split in ("train", "val", "test") if any(image.split == split for image in images)]
    if len(splits) > 1 and not raw.multi_label and len(raw.classes) > 1:
        of = [Counter(image.label for image in images if image.split == split) for split in splits]
        table = np.array([[each[name] for name in raw.classes] for each in of])
        table = table[:, table.sum(0) > 0]
        if stats.chi2_contingency(table).pvalue < UNLIKELY:
            out.append(f"the splits {', '.join(splits)} mix the classes differently, which chance does not explain")
    return out

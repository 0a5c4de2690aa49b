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
from touchstone.data.ops.resize import scale
from touchstone.data.sheets import TILE, gallery, spread
from touchstone.data.sources import RawImage, RawSet
from touchstone.data.splits import UNLABELLED
from touchstone.data.wording import count
from touchstone.errors import BadImage
from touchstone.studies.find_groups import Draw, find_groups

DECODED = 400  # images that are decoded, evenly over the classes
SHOWN = 48  # of them on the contact sheet
SMALL = TILE  # px, the longer side of what is kept of an image
TIMED_S = 3.0  # seconds in which images are decoded to learn how long one takes
MAX_PIXELS = 50_000_000
GREY_LEVELS = 3  # largest difference between the channels of a picture without colour
INSTRUMENTS = (1023, 4095, 16383)  # the largest values of 10, 12 and 14 bits
UNLIKELY = 0.001  # p-value below which the classes of two splits are mixed in different ways


@dataclass(frozen=True)
class Glance:
    """The facts and the thumbnail that stay of a decoded image: all at full size would not fit into memory."""

    height: int
    width: int
    channels: int
    bits: int
    most: int
    """Its largest value."""
    grey: bool
    """Whether it has no colour."""
    small: np.ndarray
    """Pixels (h, w, C) of at most SMALL px a side."""

    @property
    def kept_channels(self) -> int:
        """The channels, 0 for those that are converted to each other."""
        return 0 if self.channels in PLAIN else self.channels


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


def look(raw: RawSet, draw: Draw) -> tuple[Seen, Image.Image]:
    """Look at a data set. Return what was found, and a contact sheet of some of its images.

    draw: how splits that are not given will be drawn, which decides about groups.
    """
    images = raw.images
    labelled = [i for i, image in enumerate(images) if image.split != UNLABELLED]
    rows = [labelled[row] for row in spread([images[i].label for i in labelled], DECODED)] or list(range(len(images)))
    decoded, unreadable, seconds = _decoded(raw, rows)
    channels = _commonest([each.kept_channels for each in decoded], 0)
    bits = _commonest([each.bits for each in decoded], 8)
    groups = find_groups([images[i] for i in labelled], draw)
    counts = Counter(name for i in labelled for name in set(images[i].labels))
    seen = Seen(
        num_images=len(images),
        classes=raw.classes,
        multi_label=raw.multi_label,
        splits=dict(Counter(image.split for image in images)),
        counts={name: counts[name] for name in raw.classes},
        heights=np.array([each.height for each in decoded], np.int64),
        widths=np.array([each.width for each in decoded], np.int64),
        grey=bool(decoded) and all(each.grey for each in decoded),
        unreadable=unreadable,
        num_tried=len(rows),
        repeats=len(images) - len({image.id for image in images}),
        conflicts=list(_conflicts(images)),
        group=groups.setting,
        group_about=groups.about,
        fewest=_fewest(raw, labelled),
        seconds=seconds,
        channels=channels,
        bits=bits,
        white=_white(decoded) if bits == 16 else 0,
        notes=[
            *_notes(raw, labelled),
            *_mixed(decoded, channels, bits),
            *groups.notes,
        ],
    )
    shown = decoded[:: max(1, len(decoded) // SHOWN)][:SHOWN]
    return seen, gallery([each.small for each in shown])


def _decoded(raw: RawSet, rows: Sequence[int]) -> tuple[list[Glance], list[str], float]:
    """Return what stays of rows that can be decoded, why others cannot, and the seconds that decoding an image takes.

    The time is taken last, once each thread has opened the files, which takes long where an archive has many.
    """
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda row: _glance(raw, row), rows))
        seconds = _pace(raw, pool)
    return [f for f in found if isinstance(f, Glance)], [f for f in found if isinstance(f, str)], seconds


def _glance(raw: RawSet, row: int) -> Glance | str:
    """Return what stays of a row, or why it cannot be decoded."""
    pixels = _attempt(raw, row)
    if isinstance(pixels, str):
        return pixels
    height, width, channels = pixels.shape
    shrink = min(1.0, SMALL / max(height, width))
    small = scale(pixels, max(1, round(shrink * height)), max(1, round(shrink * width)))
    return Glance(
        height, width, channels, 8 * pixels.dtype.itemsize, int(pixels.max(initial=0)), _is_grey(pixels), small
    )


def _attempt(raw: RawSet, row: int) -> np.ndarray | str:
    """Return the pixels of a row, or why it cannot be decoded."""
    try:
        return raw.pixels(row, channels=None, max_pixels=MAX_PIXELS, bits=16)
    except BadImage as error:
        return f"{raw.images[row].file}: {error}"


def _pace(raw: RawSet, pool: ThreadPoolExecutor) -> float:
    """The seconds of an image, from some that are decoded for TIMED_S seconds at most."""
    began = time.perf_counter()

    def decodes(row: int) -> bool:
        """Decode a row while there is time, and return whether there was."""
        if in_time := time.perf_counter() - began < TIMED_S:
            _attempt(raw, row)
        return in_time

    number = sum(pool.map(decodes, range(min(DECODED, len(raw.images)))))
    return (time.perf_counter() - began) / max(1, number)


def _is_grey(pixels: np.ndarray) -> bool:
    ranges = pixels.max(2) - pixels.min(2)
    return int(ranges.max(initial=0)) <= GREY_LEVELS * per_level(pixels.dtype)


def _commonest(values: Sequence[int], default: int) -> int:
    return Counter(values).most_common(1)[0][0] if values else default


def _white(images: Iterable[Glance]) -> int:
    most = max(each.most for each in images if each.bits == 16)
    return next((value for value in INSTRUMENTS if most <= value), 0)


def _mixed(images: Sequence[Glance], channels: int, bits: int) -> list[str]:
    """Say how many images have other channels, which cannot be read with the others, or other bits."""
    others = sorted({each.kept_channels for each in images} - {channels})
    out = []
    if others:
        number = sum(each.kept_channels != channels for each in images)
        named = ", ".join("1 or 3" if own == 0 else str(own) for own in others)
        rest = f"the others {channels}" if channels else "the others 1 or 3"
        out.append(
            f"{number} of {len(images)} that were tried have {named} channels, {rest}: they cannot be read together"
        )
    if odd := sum(each.bits != bits for each in images):
        what = "multiplied by 257 to 16 bits" if bits == 16 else "reduced to 8 bits"
        out.append(f"{odd} of {len(images)} that were tried have {24 - bits} bits: their values are {what}")
    return out


def _fewest(raw: RawSet, labelled: Sequence[int]) -> tuple[str, int]:
    """The class that has the fewest different images to train and validate with, and their number."""
    own = [raw.images[i] for i in labelled if raw.images[i].split in ("", "train")]
    different = {name: set[str]() for name in raw.classes}
    for image in own:
        for name in image.labels:
            different[name].add(image.id)
    return min(((name, len(ids)) for name, ids in different.items()), key=lambda item: item[1], default=("", 0))


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
            out.append(
                f"the splits {', '.join(splits)} mix the classes differently, which chance does not explain; "
                "train.class_weights: balanced evens out the training images, and images without splits of their own, "
                "as in one folder for each class, are drawn alike"
            )
    return out

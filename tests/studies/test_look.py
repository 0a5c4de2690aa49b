"""Tests what `touchstone init` finds in a data set."""

import threading
import weakref
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kit.params import DEFAULT
from touchstone.config import yaml
from touchstone.config.load import settings_of
from touchstone.data.sources import RawImage, RawSet
from touchstone.errors import BadImage
from touchstone.studies import look as looking
from touchstone.studies.look import Seen
from touchstone.studies.propose import DRAW


def look(raw: RawSet) -> tuple[Seen, Image.Image]:
    return looking.look(raw, DRAW)


@dataclass
class Made:
    """A data set of generated images: a row for each of (file, label, split)."""

    rows: list[tuple[str, str, str]]
    colour: bool = True
    bad: set[str] = field(default_factory=set)
    same: dict[str, str] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)
    sizes: tuple[int, int] = (20, 24)
    multi_label: bool = False

    @property
    def classes(self) -> list[str]:
        return sorted({label for _, label, _ in self.rows if label})

    @property
    def images(self) -> list[RawImage]:
        cells = [{name: values[i] for name, values in self.columns.items()} for i in range(len(self.rows))]
        return [
            RawImage(self.same.get(file, file), label, split, file, columns=more)
            for (file, label, split), more in zip(self.rows, cells, strict=True)
        ]

    def pixels(self, index: int, *, channels: int | None, max_pixels: int, bits: int = 8) -> np.ndarray:
        if self.rows[index][0] in self.bad:
            raise BadImage("not an image")
        rng = np.random.default_rng(index)
        grey = rng.integers(0, 256, (*self.sizes, 1), np.uint8).repeat(3, 2)
        return grey ^ np.array([0, 7, 31], np.uint8) if self.colour else grey

    def content(self, index: int) -> None:
        return None


@dataclass
class Deep(Made):
    """Images of five channels of 16 bits, up to `most`; those in `grey` have one channel, those in `plain` 8 bits."""

    most: int = 65535
    grey: set[str] = field(default_factory=set)
    plain: set[str] = field(default_factory=set)

    def pixels(self, index: int, *, channels: int | None, max_pixels: int, bits: int = 8) -> np.ndarray:
        assert channels is None, "the images' own"
        file = self.rows[index][0]
        pixels = np.random.default_rng(index).integers(0, self.most + 1, (20, 24, 1 if file in self.grey else 5))
        return pixels.astype(np.uint8 if file in self.plain else np.uint16)


@dataclass
class Counted(Made):
    """Images whose pixels are counted: how often some were decoded, and how many were in memory at a time."""

    def __post_init__(self) -> None:
        self.decoded = self.alive = self.most = 0
        self.lock = threading.RLock()

    def pixels(self, index: int, *, channels: int | None, max_pixels: int, bits: int = 8) -> np.ndarray:
        pixels = super().pixels(index, channels=channels, max_pixels=max_pixels, bits=bits)
        with self.lock:
            self.decoded += 1
            self.alive += 1
            self.most = max(self.most, self.alive)
        weakref.finalize(pixels, self.freed)
        return pixels

    def freed(self) -> None:
        with self.lock:
            self.alive -= 1


def folder(numbers: dict[str, int], split: str = "") -> list[tuple[str, str, str]]:
    top = f"{split}/" if split else ""
    return [(f"{top}{label}/{i:03d}.png", label, split) for label, count in numbers.items() for i in range(count)]


def test_channels_and_bits_are_seen() -> None:
    seen, sheet = look(Deep(folder({"cat": 9, "dog": 9})))
    assert (seen.channels, seen.bits, seen.white, seen.kind) == (5, 16, 0, "5 channels of 16 bits")
    assert sheet.mode == "RGB"
    assert look(Deep(folder({"cat": 9, "dog": 9}), most=4095))[0].white == 4095
    assert look(Deep(folder({"cat": 9, "dog": 9}), most=9000))[0].white == 16383
    plain = look(Made(folder({"cat": 9, "dog": 9})))[0]
    assert (plain.channels, plain.bits, plain.white, plain.kind) == (0, 8, 0, "colour")


def test_images_of_other_channels_or_bits_are_noted() -> None:
    rows = folder({"cat": 9, "dog": 9})
    seen, _ = look(Deep(rows, grey={"cat/001.png"}, plain={"dog/002.png", "dog/003.png"}))
    assert (seen.channels, seen.bits) == (5, 16)
    assert "1 of 18 that were tried have 1 or 3 channels, the others 5: they cannot be read together" in seen.notes
    assert "2 of 18 that were tried have 8 bits: their values are multiplied by 257 to 16 bits" in seen.notes


def test_sizes_classes_and_what_cannot_be_read_are_counted() -> None:
    seen, sheet = look(Made(folder({"cat": 30, "dog": 20}), bad={"cat/003.png"}))
    assert (seen.num_images, seen.classes, seen.counts) == (50, ["cat", "dog"], {"cat": 30, "dog": 20})
    assert (seen.side, set(seen.heights), set(seen.widths)) == (20, {20}, {24})
    assert (seen.unreadable, seen.num_tried) == (["cat/003.png: not an image"], 50)
    assert not seen.grey
    assert sheet.width > 400
    assert look(Made(folder({"cat": 9, "dog": 9}), colour=False))[0].grey is True


def test_a_file_in_two_classes_or_splits_is_named() -> None:
    rows = folder({"cat": 5, "dog": 5}, "train") + folder({"cat": 3, "dog": 3}, "test")
    same = {"train/dog/000.png": "train/cat/000.png", "test/cat/001.png": "train/cat/001.png"}
    seen, _ = look(Made(rows, same=same))
    assert seen.repeats == 2
    assert seen.splits == {"train": 10, "test": 6}
    assert any("two classes: train/cat/000.png and train/dog/000.png" in each for each in seen.conflicts)
    assert any("two splits: train/cat/001.png and test/cat/001.png" in each for each in seen.conflicts)


def test_rare_classes_and_splits_of_other_mixes_are_told() -> None:
    rows = folder({"cat": 200, "dog": 30}, "train") + folder({"cat": 30, "dog": 60}, "test")
    seen, _ = look(Made(rows))
    mixed = next(note for note in seen.notes if "mix the classes differently" in note)
    assert "train.class_weights: balanced evens out the training images" in mixed
    settings_of(yaml.changed(DEFAULT, ["train.class_weights=balanced"]))  # there is such a key
    assert any(
        "imbalanced: cat has 60 images, dog 10" in n for n in look(Made(folder({"cat": 60, "dog": 10})))[0].notes
    )
    even = folder({"cat": 100, "dog": 50}, "train") + folder({"cat": 20, "dog": 10}, "test")
    assert look(Made(even))[0].notes == []


def test_groups_are_found_in_names_and_columns() -> None:
    names = [(f"cat/patient{i // 4:02d}_{i % 4}.png", "cat" if i % 2 else "dog", "") for i in range(40)]
    seen, _ = look(Made(names))
    assert seen.group == r"(?i)(patient[-_ ]?[A-Za-z]*[0-9]+)(?:[-_./ ]|$)"
    assert seen.group_about == "file names hold 10 groups, such as patient00"
    plain = folder({"cat": 20, "dog": 20})
    columns = {"subject_id": [f"s{i // 4}" for i in range(40)], "age": ["3"] * 40}
    assert look(Made(plain, columns=columns))[0].group == "subject_id"
    assert look(Made(plain))[0].group == "", "a number in each name is no group"
    one = {"patient": ["p1"] * 30 + [f"q{i}" for i in range(10)]}
    assert look(Made(plain, columns=one))[0].group == "", "a group of most images would leave nothing to split"


def test_groups_that_cannot_be_split_and_classes_that_lack_images_are_told() -> None:
    plain = folder({"cat": 20, "dog": 20})
    seen, _ = look(Made(plain, columns={"patient": ["p1"] * 20 + ["p2"] * 20}))
    assert seen.group == ""
    assert any("the column patient seems to name groups" in note for note in seen.notes)
    rows = folder({"cat": 9, "dog": 9}, "train") + folder({"cat": 4}, "test")
    assert any(note == "test has no image of dog" for note in look(Made(rows))[0].notes)
    same = {f"dog/{i:03d}.png": "dog/000.png" for i in range(20)}
    assert look(Made(plain, same=same))[0].fewest == ("dog", 1)


def test_series_of_names_are_a_hint_and_no_more() -> None:
    rows = [(f"{label}/rose{i // 5}_{i % 5}.jpg", label, "") for label in ("a", "b") for i in range(40)]
    seen, _ = look(Made(rows))
    assert seen.group == ""
    assert any("names such as rose0_1 form 8 series" in note for note in seen.notes)


@pytest.mark.parametrize("name", ["folder", "zip"])
def test_a_folder_and_its_archive_look_alike(tmp_path: Path, name: str) -> None:
    import shutil

    from touchstone.studies.opened import opened

    for i in range(12):
        file = tmp_path / f"images/{'ab'[i % 2]}/{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (9, 9, 3), np.uint8)).save(file)
    path = tmp_path / "images"
    if name == "zip":
        path = Path(shutil.make_archive(str(path), "zip", path))
    with opened("folder", str(path)) as raw:
        seen, _ = look(raw)
    assert (seen.num_images, seen.counts) == (12, {"a": 6, "b": 6})


def test_few_images_are_in_memory_at_a_time_and_timing_them_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "TIMED_S", 0.0)
    raw = Counted(folder({"cat": 100, "dog": 100}), sizes=(300, 200))
    seen, _ = look(raw)
    assert set(seen.heights) == {300}
    assert raw.decoded == 200, "once each, and none again to time it"
    assert raw.most < 100

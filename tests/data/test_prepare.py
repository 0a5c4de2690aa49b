import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kit.project import ROOT
from touchstone.config import yaml
from touchstone.config.schema.data import Data
from touchstone.data import findings
from touchstone.data.imageset import group_indices, load, read_files, valid_sizes
from touchstone.data.ops.resize import resize
from touchstone.data.prepare import prepare
from touchstone.data.sources import RawImage
from touchstone.errors import BadImage, TouchstoneError


@dataclass
class Raw:
    """A raw set made of (split, label, pixels); an image's id is the hash of its number unless `ids` gives another."""

    rows: list[tuple[str, str, np.ndarray | None]]
    ids: dict[int, str] = field(default_factory=dict)
    multi_label = False

    @property
    def classes(self) -> list[str]:
        return sorted({label for _, label, _ in self.rows if label})

    @property
    def images(self) -> list[RawImage]:
        import hashlib

        name = lambda i: self.ids.get(i, hashlib.sha256(str(i).encode()).hexdigest())  # noqa: E731
        return [RawImage(name(i), label, split, f"{label}/{i}.png") for i, (split, label, _) in enumerate(self.rows)]

    def pixels(self, index: int, *, channels: int | None, max_pixels: int, bits: int = 8) -> np.ndarray:
        pixels = self.rows[index][2]
        if pixels is None:
            raise BadImage("truncated")
        return pixels

    def content(self, index: int) -> None:
        return None


def picture(seed: int, height: int = 16, width: int = 16) -> np.ndarray:
    import cv2

    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def data(**changes) -> Data:
    values = yaml.parse((ROOT / "recipes/digits/params.yaml").read_text())["data"]
    values |= {"source": "folder", "image_size": 16, "channels": 3, "train_size": 0}
    return Data(**(values | {"test_fraction": 0.3, "val_fraction": 0.3} | changes))


def many(count: int = 60, split: str = "") -> list[tuple[str, str, np.ndarray | None]]:
    return [(split, "ab"[i % 2], picture(i)) for i in range(count)]


def prepared(tmp_path: Path, raw: Raw, **changes) -> dict[str, object]:
    return prepare(raw, data=data(**changes), to=tmp_path / "p", sheet_size=8)


def ids(tmp_path: Path, split: str) -> set[str]:
    return set(load(tmp_path / "p" / split).table["id"])


def test_adding_images_moves_few_old_ones(tmp_path: Path) -> None:
    prepared(tmp_path, Raw(many(72)))
    before = {split: ids(tmp_path, split) for split in ("train", "val", "test")}
    assert all(before.values())
    prepared(tmp_path, Raw(many(80)))
    moved = sum(len(old - ids(tmp_path, split)) for split, old in before.items())
    assert moved <= 4


def test_classes_with_few_held_out_images_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepared(tmp_path, Raw(many(120)), test_fraction=0.1, val_fraction=0.25)
    assert capsys.readouterr().out == "test: fewer than 10 images of a (6), b (6), which say little\n"


def grouped(count: int = 60) -> Raw:
    """Five images a patient, whose number is in the file's name and in a column."""
    raw = Raw(many(count))
    images = [
        replace(image, file=f"{image.label}/p{i // 5}_{i}.png", columns={"patient": f"p{i // 5}"})
        for i, image in enumerate(raw.images)
    ]
    return type("Grouped", (), {"images": images, "classes": raw.classes, "multi_label": False, "pixels": raw.pixels})()


@pytest.mark.parametrize("group", ["patient", "/(p[0-9]+)_"])
def test_the_images_of_a_group_come_into_one_split(tmp_path: Path, group: str) -> None:
    prepared(tmp_path, grouped(), group=group)
    tables = {split: load(tmp_path / "p" / split).table for split in ("train", "val", "test")}
    members = {split: set(table["group"]) for split, table in tables.items()}
    assert sum(map(len, members.values())) == len(set().union(*members.values())) == 12
    assert all(members.values())
    assert group_indices(tables["train"]).max() + 1 == len(members["train"])


def test_a_group_that_cannot_be_found_is_one_line(tmp_path: Path) -> None:
    for group, said in (
        ("patiemt", "data.group: got 'patiemt', expected a column of the table of images (patient) or a pattern"),
        ("(q[0-9]+)", "data.group: '(q[0-9]+)' finds no group in a/p0_0.png; change the pattern"),
    ):
        with pytest.raises(TouchstoneError, match=re.escape(said)):
            prepared(tmp_path, grouped(), group=group)
    for pattern, said in (("(p", "no regular expression"), ("(p)(q)", "one group in brackets, found 2")):
        with pytest.raises(ValueError, match=said):
            data(group=pattern)
    torn = grouped()
    torn.images = [replace(image, split="train" if i % 2 else "test") for i, image in enumerate(torn.images)]
    with pytest.raises(
        TouchstoneError, match=r"data\.group: p0 has images in test and train by the source's own splits"
    ):
        prepared(tmp_path, torn, group="patient")


def test_files_follow_the_rows_and_counts_add_up(tmp_path: Path) -> None:
    raw = Raw(many(40))
    summary = prepared(tmp_path, raw)
    files = pd.read_csv(tmp_path / "p/files.csv")
    for split in ("train", "val", "test"):
        images = load(tmp_path / "p" / split)
        assert summary[f"num_{split}"] == len(images)
        for row, file in enumerate(files.loc[files["split"] == split, "file"]):
            assert np.array_equal(images.images[row], raw.rows[int(Path(file).stem[0:])][2])
    counts = pd.read_csv(tmp_path / "p/findings/counts.csv").set_index("class")
    assert counts.to_numpy().sum() == 40
    assert json.loads((tmp_path / "p/meta.json").read_text())["classes"] == ["a", "b"]


def test_exact_copies_of_held_out_images_leave_training(tmp_path: Path) -> None:
    rows = [*many(20, "train"), ("test", "a", picture(100)), ("test", "b", picture(101)), ("test", "b", picture(101))]
    rows += [
        ("train", "a", picture(100)),
        ("train", "b", picture(3)),
        ("val", "a", picture(101)),
        ("val", "b", picture(200)),
    ]
    summary = prepared(tmp_path, Raw(rows))
    assert summary["num_exact_copies_dropped"] == 2
    assert summary["num_repeats_within_splits"] == 2, "repeats within a split stay"
    assert summary["num_test"] == 3, "an official test split stays complete"
    assert (summary["num_train"], summary["num_val"]) == (21, 1)
    reasons = pd.read_csv(tmp_path / "p/findings/left_out.csv")["left_out"].tolist()
    assert sum("exact copy of a/20.png in test" in reason for reason in reasons) == 1
    assert any("labelled" in reason for reason in reasons), "the reason names the other label"


@pytest.mark.parametrize("policy", ["report", "drop"])
def test_near_and_mirrored_copies_are_reported_or_dropped(tmp_path: Path, policy: str) -> None:
    brighter = np.clip(picture(100).astype(int) + 1, 0, 255).astype(np.uint8)
    rows = [*many(40, "train"), ("test", "a", picture(100)), ("test", "b", picture(101)), ("val", "a", picture(102))]
    rows += [("train", "a", brighter), ("train", "b", picture(101)[:, ::-1].copy())]
    summary = prepared(tmp_path, Raw(rows), near_duplicates=policy)
    near = pd.read_csv(tmp_path / "p/findings/near_copies.csv")
    assert sorted(near["copy_file"]) == ["a/43.png", "b/44.png"]
    assert near.set_index("copy_file")["mirrored"].to_dict() == {"a/43.png": False, "b/44.png": True}
    assert summary["num_train"] == (42 if policy == "report" else 40)


def test_bad_images_fail_with_their_names_or_are_left_out(tmp_path: Path, capsys) -> None:
    rows = [*many(40), ("", "a", None)]
    prepared(tmp_path, Raw(many(40)))
    before = {path: path.read_bytes() for path in (tmp_path / "p").rglob("*") if path.is_file()}
    with pytest.raises(TouchstoneError, match=r"1 of 41 images cannot be read: a/40\.png: truncated.*bad_images: skip"):
        prepared(tmp_path, Raw(rows))
    assert before == {path: path.read_bytes() for path in (tmp_path / "p").rglob("*") if path.is_file()}
    assert prepared(tmp_path, Raw(rows), bad_images="skip")["num_bad_images"] == 1
    assert "a/40.png: truncated" in capsys.readouterr().out


def deep(count: int = 40, channels: int = 5) -> list[tuple[str, str, np.ndarray | None]]:
    rng = np.random.default_rng(0)
    return [("", "ab"[i % 2], rng.integers(0, 65536, (20, 24, channels), np.uint16)) for i in range(count)]


@pytest.mark.parametrize("mode", ["squash", "shortest_edge"])
def test_sixteen_bits_of_five_channels_are_stored_as_they_are(tmp_path: Path, mode: str) -> None:
    prepared(tmp_path, Raw(deep()), channels=5, bits=16, resize=mode)
    images = load(tmp_path / "p/train").images
    assert (images.dtype, images.shape[3]) == (np.uint16, 5)
    assert len(np.unique(images[:] % 257)) == 257
    meta = json.loads((tmp_path / "p/meta.json").read_text())
    assert (meta["channels"], meta["bits"], "white" in meta) == (5, 16, False)
    assert "bits" not in (findings.read(tmp_path / "p/findings/warnings.csv") or [("", "")])[0][1]


def test_eight_bits_are_stored_and_described_as_before(tmp_path: Path) -> None:
    prepared(tmp_path, Raw(many(40)))
    assert load(tmp_path / "p/train").images.dtype == np.uint8
    meta = json.loads((tmp_path / "p/meta.json").read_text())
    assert list(meta) == ["classes", "channels", "image_size", "resize", "max_pixels"]


def test_files_of_8_bits_among_those_of_16_are_scaled_and_said(tmp_path: Path) -> None:
    plain = np.full((16, 16, 5), 77, np.uint8) + np.eye(16, dtype=np.uint8)[..., None]
    prepared(tmp_path, Raw([*deep(39), ("train", "a", plain)]), channels=5, bits=16)
    said = [text for kind, text in findings.read(tmp_path / "p/findings/warnings.csv") if kind == "depth"]
    assert said == [
        "1 image has 8 bits, such as a/39.png, and data.bits is 16: their values are multiplied by 257, so that white "
        "stays white"
    ]
    stored = [image for split in ("train", "val", "test") for image in load(tmp_path / "p" / split).images]
    assert any(np.array_equal(image, plain.astype(np.uint16) * 257) for image in stored)


def test_dark_files_are_said_and_data_white_makes_them_bright(tmp_path: Path) -> None:
    dark = [(split, label, pixels >> 4) for split, label, pixels in deep()]  # 12 bits
    prepared(tmp_path, Raw(dark), channels=5, bits=16)
    said = dict(findings.read(tmp_path / "p/findings/warnings.csv"))["dark"]
    assert "set data.white to their largest value, such as 4095" in said
    prepared(tmp_path, Raw(dark), channels=5, bits=16, white=4095)
    assert "dark" not in dict(findings.read(tmp_path / "p/findings/warnings.csv"))
    assert load(tmp_path / "p/train").images.mean() == pytest.approx(32768, rel=0.01)
    assert json.loads((tmp_path / "p/meta.json").read_text())["white"] == 4095


def test_copies_are_found_in_16_bits(tmp_path: Path) -> None:
    rows = deep()
    moved = rows[0][2].copy()
    moved[0, 0] ^= 1  # below what 8 bits tell apart: no exact copy
    summary = prepared(tmp_path, Raw([*rows, ("train", "a", moved), ("test", "a", rows[0][2])]), channels=5, bits=16)
    assert summary["num_exact_copies_dropped"] == 1


def test_shortest_edge_keeps_the_aspect_and_stores_no_padding(tmp_path: Path) -> None:
    rows = [("", "ab"[i % 2], picture(i, 20 + i % 3 * 20, 40)) for i in range(40)]
    prepared(tmp_path, Raw(rows), resize="shortest_edge")
    for split in ("train", "val", "test"):
        images, file = load(tmp_path / "p" / split), tmp_path / f"p/{split}/images/0000.npy"
        sizes = valid_sizes(images.table)
        assert {tuple(size) for size in sizes} <= {(16, 32), (16, 16), (24, 16)}
        assert np.load(file).nbytes == sizes.prod(1).sum() * 3, "no more than the pixels"
        files = read_files(tmp_path / "p", split)
        for pixels, size, name in zip(images.images, sizes, files, strict=True):
            assert pixels.shape == (*size, 3)
            assert np.array_equal(pixels, resize(rows[int(Path(name).stem)][2], size_px=16, mode="shortest_edge"))


def test_a_damaged_file_among_images_of_several_sizes_is_left_out(tmp_path: Path) -> None:
    rows = [("", "ab"[i % 2], picture(i, 20 + i % 3 * 20, 40) if i != 7 else None) for i in range(40)]
    summary = prepared(tmp_path, Raw(rows), resize="shortest_edge", bad_images="skip")
    assert sum(summary[f"num_{split}"] for split in ("train", "val", "test")) == 39


def test_pixels_of_another_shape_are_no_copies(tmp_path: Path) -> None:
    wide, tall = (np.full((*size, 3), 9, np.uint8) for size in ((16, 32), (32, 16)))
    rows = [*many(40, "train"), ("train", "a", wide), ("test", "a", tall), ("test", "b", picture(99))]
    summary = prepared(tmp_path, Raw(rows), resize="shortest_edge", val_fraction=0.0)
    assert summary["num_exact_copies_dropped"] == 0


@pytest.mark.parametrize("mode", ["squash", "crop", "pad"])
def test_other_modes_give_squares(tmp_path: Path, mode: str) -> None:
    rows = [("", "ab"[i % 2], picture(i, 20, 40)) for i in range(40)]
    prepared(tmp_path, Raw(rows), resize=mode)
    images = load(tmp_path / "p/train").images
    assert images.shape[1:] == (16, 16, 3)
    assert images[:, :4].any() == (mode != "pad"), "pad leaves black above and below a wide picture"


def test_train_size_and_official_splits(tmp_path: Path) -> None:
    rows = many(30, "train") + [("test", "ab"[i % 2], picture(100 + i)) for i in range(10)]
    rows += [("unlabelled", "", picture(200 + i)) for i in range(4)]
    summary = prepared(tmp_path, Raw(rows), train_size=11, val_fraction=0.0)
    assert (summary["num_train"], summary["num_val"], summary["num_test"], summary["num_unlabelled"]) == (11, 0, 10, 4)
    assert load(tmp_path / "p/train").table["label"].value_counts().to_dict() == {"a": 6, "b": 5}


def test_only_the_middle_of_a_very_long_image_is_kept(tmp_path: Path) -> None:
    """The largest image of a batch pads all others of it."""
    long = picture(99, 16, 200)
    prepared(tmp_path, Raw([*many(40), ("train", "a", long)]), resize="shortest_edge", val_fraction=0.0)
    images = load(tmp_path / "p/train")
    assert images.images.shape[1:3] == (16, 32)
    [row] = np.flatnonzero(valid_sizes(images.table)[:, 1] == 32)
    assert np.array_equal(images.images[row], long[:, 84:116])


def test_a_fold_beside_an_official_validation_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TouchstoneError, match=r"data\.fold: got '1 of 5'.*validation split of its own"):
        prepared(tmp_path, Raw([*many(20, "train"), ("val", "a", picture(99))]), fold="1 of 5")


def test_impossible_splits_say_what_to_change(tmp_path: Path) -> None:
    with pytest.raises(TouchstoneError, match="class 'b' has no training image left"):
        prepared(tmp_path, Raw([*many(20, "train")[::2], ("test", "b", picture(99))]))
    with pytest.raises(TouchstoneError, match="the test split is empty"):
        prepared(tmp_path, Raw(many(20)), test_fraction=0.0)
    one_each = [("train", "a", picture(50)), ("train", "b", picture(51))]
    with pytest.raises(TouchstoneError, match="the validation split is empty"):
        prepared(tmp_path, Raw([*many(4, "test"), *one_each]), val_fraction=0.1)


# --- what is told ---


def told(folder: Path) -> dict[str, str]:
    """Kind -> text of the warnings."""
    return {finding.kind: finding.text for finding in findings.read(folder / "findings/warnings.csv")}


def test_one_picture_under_two_labels_is_told_with_both_names(tmp_path: Path) -> None:
    """By its bytes, which the id is of, and by its pixels alone; also within a split."""
    rows = [*many(40, "train"), ("train", "b", picture(0)), ("train", "a", picture(99)), ("test", "a", picture(1))]
    raw = Raw([*rows, ("test", "b", picture(98))], ids={41: "same", 43: "same"})
    prepared(tmp_path, raw, val_fraction=0.0)
    repeats = pd.read_csv(tmp_path / "p/findings/repeats.csv")
    pairs = {frozenset((a, b)): same for a, b, same in repeats[["file", "other_file", "same"]].itertuples(index=False)}
    assert pairs == {
        frozenset(("a/0.png", "b/40.png")): "pixels",
        frozenset(("a/41.png", "b/43.png")): "bytes",
        frozenset(("b/1.png", "a/42.png")): "pixels",
    }
    text = told(tmp_path / "p")["conflict"]
    assert text.startswith("one picture has two labels: ")
    assert "a/41.png (a) and b/43.png (b), by bytes" in text
    assert "; correct one of the two" in text
    assert told(tmp_path / "p")["copy"] == "2 images copy one of another split, left out (findings/left_out.csv)"
    assert told(tmp_path / "p")["repeat"].startswith("1 image repeats another of the same split; all")


def test_pictures_of_12_bits_in_files_of_16_are_told(tmp_path: Path) -> None:
    dark = [("", "ab"[i % 2], picture(i) // 16) for i in range(60, 63)]
    prepared(tmp_path, Raw([*many(60), *dark, ("", "a", np.zeros((16, 16, 3), np.uint8))]))
    assert told(tmp_path / "p")["dark"] == (
        "3 images are nearly black, with no value above 16 of 255, such as a/60.png: pictures of 12 bits in files of "
        "16 look so; multiply their values by 16"
    )


def test_what_the_source_found_comes_first(tmp_path: Path) -> None:
    given = findings.Finding("layout", "took the folder Training as train")
    prepare(Raw(many(60)), data=data(), to=tmp_path / "p", sheet_size=8, told=[given])
    assert findings.read(tmp_path / "p/findings/warnings.csv")[0] == given
    assert "conflict" not in told(tmp_path / "p")


def test_no_findings_are_an_empty_table(tmp_path: Path) -> None:
    rows = [
        (split, "ab"[i % 2], picture(100 * n + i))
        for n, split in enumerate(("train", "val", "test"))
        for i in range(24)
    ]
    prepared(tmp_path, Raw(rows))
    assert (tmp_path / "p/findings/warnings.csv").read_text() == "kind,text\n"
    assert findings.read(tmp_path / "no such file") == []


@pytest.mark.parametrize("changes", [{}, {"val_fraction": 0.0, "fold": "1 of 3"}, {"group": "/([0-9]+)[.]"}])
def test_images_that_cannot_be_read_have_no_part_in_the_split(tmp_path: Path, changes) -> None:
    sound = many(40)
    lost = [("", "ab"[i % 2], None) for i in range(40)]
    empty = {40 + i: "0" * 64 for i in range(40)}  # files of equal bytes, such as those that a full disk left empty
    alone = prepared(tmp_path / "sound", Raw(sound), **changes)
    both = prepared(tmp_path / "both", Raw([*sound, *lost], ids=empty), bad_images="skip", **changes)
    assert both == alone | {"num_bad_images": 40}
    assert (tmp_path / "both/p/files.csv").read_bytes() == (tmp_path / "sound/p/files.csv").read_bytes()


def test_a_class_without_a_readable_image_is_named_with_the_reason(tmp_path: Path) -> None:
    rows = [*many(20), *(("", "c", None) for _ in range(3))]
    with pytest.raises(
        TouchstoneError, match=r"class 'c': none of its 3 images can be read; the first: c/20.png: trunc"
    ):
        prepared(tmp_path, Raw(rows), bad_images="skip")

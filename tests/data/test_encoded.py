"""Images stored as the files they came as: the same pixels as stored ones, in less room."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kit.project import ROOT
from touchstone.config import yaml
from touchstone.config.schema.augmentation import Augmentation
from touchstone.config.schema.data import Data
from touchstone.config.schema.machine import Machine
from touchstone.data import encoded
from touchstone.data.batches import Batches, View, statistics
from touchstone.data.imageset import content_hash, image_files, load, valid_sizes, write
from touchstone.data.prepare import prepare
from touchstone.data.sources import load_source
from touchstone.data.training_set import Arm, combine
from touchstone.errors import TouchstoneError
from touchstone.training.loader import loader_of


def photograph(seed: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, channels), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A downloaded folder: JPEGs of several sizes, some turned by EXIF, PNGs of noise, a palette, and a tiny file."""
    root = tmp_path_factory.mktemp("own")
    for i in range(60):
        name = root / "ab"[i % 2] / f"{i:02}"
        name.parent.mkdir(exist_ok=True)
        picture = Image.fromarray(photograph(i, 60 + i % 3 * 30, 80))
        if i % 5 == 0:
            Image.fromarray(np.random.default_rng(i).integers(0, 256, (90, 70, 3), np.uint8)).save(f"{name}.png")
        elif i % 5 == 1:
            picture.quantize(16).save(f"{name}.gif")
        elif i % 5 == 2:
            exif = Image.Exif()
            exif[0x0112] = 6
            picture.save(f"{name}.jpg", quality=60, exif=exif)
        elif i % 5 == 3:
            picture.convert("L").save(f"{name}.webp", quality=50)
        else:
            picture.save(f"{name}.jpg", quality=80)
    to = tmp_path_factory.mktemp("raw")
    load_source("folder").download(to=to, path=root, mirror="")
    return to


def prepared(raw: Path, to: Path, **changes: object) -> Path:
    values = yaml.parse((ROOT / "recipes/digits/params.yaml").read_text())["data"]
    values |= {"source": "folder", "image_size": 48, "channels": 3, "train_size": 0, "test_fraction": 0.2}
    prepare(load_source("folder").read(raw), data=Data(**values | changes), to=to, sheet_size=8)
    return to


@pytest.mark.parametrize(
    "changes",
    [
        {"resize": "squash"},
        {"resize": "crop"},
        {"resize": "pad", "channels": 1},
        {"resize": "shortest_edge"},
        {"resize": "shortest_edge", "bits": 16},
    ],
    ids=str,
)
def test_encoded_images_are_those_stored_as_pixels(raw: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    plain, small = (prepared(raw, tmp_path / kind, storage=kind, **changes) for kind in ("pixels", "encoded"))
    for name in ("meta.json", "files.csv", "train/table.csv", "train/sheet.png", "findings/counts.csv"):
        assert (plain / name).read_bytes() == (small / name).read_bytes(), name
    for split in ("train", "val", "test"):
        one, other = load(plain / split), load(small / split)
        assert one.images.shape == other.images.shape
        assert one.images.dtype == other.images.dtype
        np.testing.assert_array_equal(one.images[:], other.images[:])
        for row, image in enumerate(other.images):
            np.testing.assert_array_equal(image, one.images[row])
            np.testing.assert_array_equal(other.images[row, 3:9, ::2], one.images[row, 3:9, ::2])
        rows = np.array([3, 0, 3])
        np.testing.assert_array_equal(one.images[rows], other.images[rows])
        np.testing.assert_array_equal(other.take([2, 1]).images[:], one.take([2, 1]).images[:])
    sets = [combine(Arm(), train=load(folder / "train"), name="real") for folder in (plain, small)]
    assert sets[0].content_hash() == sets[1].content_hash()
    stored = [sum(file.stat().st_size for file in image_files(each / "train/images")) for each in (plain, small)]
    assert stored[1] < 0.75 * stored[0]


def test_files_that_are_larger_than_their_pixels_are_stored_as_pixels(raw: Path, tmp_path: Path) -> None:
    images = load(prepared(raw, tmp_path / "p", storage="encoded", image_size=16) / "train").images
    whole = 16 * 16 * 3
    lengths = {len(images.content(row)) for row in range(len(images))}
    assert max(lengths) == whole
    again = load(prepared(raw, tmp_path / "q", storage="encoded", image_size=4) / "train").images
    assert {len(again.content(row)) for row in range(len(again))} == {4 * 4 * 3}, "no file is that small"


def test_damaged_files_are_left_out_as_ever(tmp_path: Path) -> None:
    for i in range(40):
        file = tmp_path / "own" / "ab"[i % 2] / f"{i:02}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(i, 60, 60)).save(file)
        if i in (6, 7):
            file.write_bytes(file.read_bytes()[:200])
    (tmp_path / "raw").mkdir()
    load_source("folder").download(to=tmp_path / "raw", path=tmp_path / "own", mirror="")
    to = prepared(tmp_path / "raw", tmp_path / "p", storage="encoded", bad_images="skip")
    assert sum(len(load(to / split)) for split in ("train", "val", "test")) == 38


def test_a_set_of_bytes_is_written_again_in_any_order(raw: Path, tmp_path: Path) -> None:
    train = load(prepared(raw, tmp_path / "p", storage="encoded", resize="shortest_edge") / "train")
    order = np.random.default_rng(0).permutation(len(train))[:10]
    (tmp_path / "q").mkdir()
    write(tmp_path / "q", train, rows=order, shard_bytes=4000)
    assert len(image_files(tmp_path / "q/images")) > 2
    back = load(tmp_path / "q")
    for place, row in enumerate(order):
        np.testing.assert_array_equal(back.images[place], train.images[row])
    assert content_hash(tmp_path / "q") != content_hash(tmp_path / "p/train")


def test_other_code_than_that_which_decodes_now_is_refused(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = prepared(raw, tmp_path / "p", storage="encoded")
    noted = json.loads((to / "train/images/encoding.json").read_text())
    assert noted["code"] == encoded.digest(Path(encoded.__file__))
    monkeypatch.setattr(encoded, "digest", lambda *_: "later")
    with pytest.raises(TouchstoneError, match=r"stored by other code than decodes them now; run `dvc repro prepare`"):
        load(to / "train")


def test_other_libraries_than_those_that_decode_now_are_refused(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = prepared(raw, tmp_path / "p", storage="encoded")
    monkeypatch.setattr(encoded, "decoders", lambda: dict.fromkeys(encoded.LIBRARIES, "9.9"))
    with pytest.raises(TouchstoneError, match=r"pillow \d.*, and here is .*pillow 9\.9.*`dvc repro --force prepare`"):
        load(to / "train")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_damaged_image_is_named_in_one_line_also_by_a_worker(raw: Path, tmp_path: Path, num_workers: int) -> None:
    to = prepared(raw, tmp_path / "p", storage="encoded") / "train"
    whole = np.load(to / "images/0000.npy")
    np.save(to / "images/0000.npy", np.zeros_like(whole))
    data = combine(Arm(), train=load(to), name="real")
    settings: dict[str, Any] = {"batch_size": 7, "num_steps": 6, "start": 0, "stop": 6, "seed": 1}
    batches = Batches(data, np.arange(len(data)), View(48, 48), Augmentation(), **settings)
    with pytest.raises(TouchstoneError) as caught:
        list(loader_of(batches, Machine(accelerator="cpu", num_workers=num_workers)))
    assert re.fullmatch(r"\S+/train: image \d+: not an image.*; run `dvc checkout`", str(caught.value))


def test_other_sizes_than_those_of_the_table_are_refused(raw: Path, tmp_path: Path) -> None:
    to = prepared(raw, tmp_path / "p", storage="encoded", resize="shortest_edge") / "train"
    table = pd.read_csv(to / "table.csv", dtype=str)
    table.assign(width="50").to_csv(to / "table.csv", index=False)
    with pytest.raises(TouchstoneError, match=r"train: image \d+ has \d+ x \d+ px, its table 50 x \d+; run"):
        list(load(to).images)


def test_images_without_files_stay_pixels(tmp_path: Path) -> None:
    digits = load_source("digits")
    digits.download(to=tmp_path, path=tmp_path, mirror="")
    values = yaml.parse((ROOT / "recipes/digits/params.yaml").read_text())["data"]
    prepare(digits.read(tmp_path), data=Data(**values | {"storage": "encoded"}), to=tmp_path / "p", sheet_size=8)
    assert [file.name for file in (tmp_path / "p/train/images").iterdir()] == ["0000.npy"]
    assert isinstance(load(tmp_path / "p/train").images, np.memmap)


@pytest.mark.parametrize("name", ["places.npy", "0000.npy"])
def test_a_set_of_bytes_that_is_cut_off_is_refused(raw: Path, tmp_path: Path, name: str) -> None:
    to = prepared(raw, tmp_path / "p", storage="encoded") / "train"
    content = np.load(to / "images" / name)
    np.save(to / "images" / name, content[:-1])
    with pytest.raises(TouchstoneError, match="no readable image set"):
        load(to)
    (to / "images" / name).unlink()
    with pytest.raises(TouchstoneError, match="no readable image set"):
        load(to)


def test_batches_of_encoded_images_are_augmented_like_others(raw: Path, tmp_path: Path) -> None:
    made = []
    for kind in ("pixels", "encoded"):
        train = load(prepared(raw, tmp_path / kind, storage=kind, resize="shortest_edge") / "train")
        data = combine(Arm(), train=train, name="real")
        settings = Augmentation(hflip=True, crop_padding=2, rotate_deg=10)
        batches = Batches(
            data, np.arange(len(data)), View(48, 48), settings, batch_size=7, num_steps=6, start=0, stop=6, seed=1
        )
        made.append((statistics(data), [batches[item][0].numpy() for item in range(6)], valid_sizes(train.table)))
    assert made[0][0] == made[1][0]
    for one, other in zip(made[0][1], made[1][1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_preparation_does_without_torch() -> None:
    code = "import sys, touchstone.data.prepare; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0

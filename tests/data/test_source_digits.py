import hashlib
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from touchstone.data.sources import ArraySet, digits, load_source
from touchstone.errors import BadImage, TouchstoneError


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("digits")
    digits.download(to=to, path=Path("unused"), mirror="")
    return to


@pytest.fixture(scope="module")
def raw_set(raw: Path) -> ArraySet:
    return digits.read(raw=raw)


def test_two_downloads_give_the_same_bytes(raw: Path, tmp_path: Path) -> None:
    digits.download(to=tmp_path, path=Path("unused"), mirror="elsewhere")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["images.npy", "labels.csv"]
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (raw / file.name).read_bytes()


def test_pixels_are_scaled(raw_set: ArraySet) -> None:
    original = load_digits().images  # 0..16
    got = np.stack([raw_set.pixels(i, channels=1, max_pixels=64) for i in range(1797)])
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got[..., 0], np.round(original * 255 / 16))
    np.testing.assert_array_equal(raw_set.pixels(5, channels=3, max_pixels=64), np.repeat(got[5], 3, axis=2))


def test_images(raw: Path, raw_set: ArraySet) -> None:
    assert raw_set.classes == list("0123456789")
    assert [int(image.label) for image in raw_set.images] == load_digits().target.tolist()
    assert {image.split for image in raw_set.images} == {""}
    assert raw_set.images[1796].file == "digits/1796"
    array = np.load(raw / "images.npy")
    assert array.shape == (1797, 8, 8, 1)
    assert raw_set.images[7].id == hashlib.sha256(array[7].tobytes()).hexdigest()
    assert pd.read_csv(raw / "labels.csv").columns.tolist() == ["file", "label"]


def test_too_large(raw_set: ArraySet) -> None:
    with pytest.raises(BadImage, match="8x8 is more than 63 pixels"):
        raw_set.pixels(0, channels=1, max_pixels=63)


def test_can_be_pickled(raw_set: ArraySet) -> None:
    assert pickle.loads(pickle.dumps(raw_set)).images == raw_set.images


def test_load_source() -> None:
    assert load_source("digits") is digits
    for name in ("cifar10", "folder"):
        assert callable(load_source(name).download)
        assert callable(load_source(name).read)


def test_unknown_source() -> None:
    with pytest.raises(
        TouchstoneError, match=r"data.source: got digit, expected one of cifar10, .*digits, folder.*; did"
    ):
        load_source("digit")
    with pytest.raises(TouchstoneError, match=r"got \.\.errors, expected one of [a-z0-9_, ]+$"):
        load_source("..errors")

"""Large sets in several files: where these begin, and how few change when images are added."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from touchstone.data.imageset import ImageSet, image_files, load, write
from touchstone.data.lazy_images import StoredImages, as_array
from touchstone.data.shards import first_of_shards

SHARD = 20_000  # bytes in these tests
SIDE = 8


def named(names: list[str]) -> ImageSet:
    """Images of a pattern that their name decides, sorted by id as prepared ones are."""
    rows = sorted((hashlib.sha256(name.encode()).hexdigest(), name) for name in names)
    seeds = [int(image_id[:8], 16) for image_id, _ in rows]
    images = np.stack([np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8) for seed in seeds])
    ids = [image_id for image_id, _ in rows]
    table = pd.DataFrame({"id": ids, "label": "a", "source_id": ids, "origin": "real"})
    return ImageSet(images, table.assign(name=[name for _, name in rows]))


def uneven(images: ImageSet) -> ImageSet:
    """The same images cut to sizes of their own, stored without padding."""
    sizes = np.array([(4 + int(each[0], 16) % 5, 4 + int(each[1], 16) % 5) for each in images.table["id"]])
    cut = [image[:height, :width].reshape(-1, 3) for image, (height, width) in zip(images.images, sizes, strict=True)]
    table = images.table.copy()
    table[["height", "width"]] = sizes
    return ImageSet(as_array(StoredImages.uneven(np.concatenate(cut), sizes)), table)


def written(folder: Path, images: ImageSet) -> list[str]:
    """Write a set with small shards, and return the hash of each file of pixels."""
    folder.mkdir()
    write(folder, images, names=images.table["name"].tolist(), shard_bytes=SHARD)
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in image_files(folder / "images")]


NAMES = [f"{label}/{i:05}.jpg" for label in ("cat", "dog") for i in range(1500)]


@pytest.mark.parametrize("of", [lambda images: images, uneven], ids=["even", "uneven"])
def test_a_large_set_is_read_as_it_was_written(tmp_path: Path, of) -> None:
    images = of(named(NAMES))
    assert len(written(tmp_path / "p", images)) > 8
    back = load(tmp_path / "p")
    assert back.images.shape == images.images.shape
    np.testing.assert_array_equal(back.images[:], images.images[:])
    for row in (0, 700, -1):
        np.testing.assert_array_equal(back.images[row], images.images[row])
    rows = np.random.default_rng(0).permutation(len(images))[:50]
    np.testing.assert_array_equal(back.images[rows], images.images[rows])
    np.testing.assert_array_equal(back.take(rows.tolist()).images[:], images.images[rows])


@pytest.mark.parametrize("of", [lambda images: images, uneven], ids=["even", "uneven"])
def test_images_that_are_added_change_few_files(tmp_path: Path, of) -> None:
    before = written(tmp_path / "before", of(named(NAMES)))
    after = written(tmp_path / "after", of(named([*NAMES, *(f"cat/{i:05}.jpg" for i in range(1500, 1600))])))
    assert len(set(after) - set(before)) <= 4, "100 images of 192 bytes are one file's worth"
    one = written(tmp_path / "one", of(named([*NAMES, "dog/00700-new.jpg"])))
    assert len(set(one) - set(before)) <= 2
    assert len(set(before) - set(one)) <= 2


def test_files_are_about_as_long_as_they_should_be() -> None:
    ids = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(100_000)]
    firsts = first_of_shards(ids, np.full(len(ids), 100), shard_bytes=100_000)
    lengths = np.diff([*firsts, len(ids)]) * 100
    assert firsts[0] == 0
    assert 0.8 < lengths[:-1].mean() / 100_000 < 1.2
    assert lengths[:-1].min() >= 50_000
    assert lengths.max() <= 200_000


def test_a_set_up_to_the_size_of_a_file_has_one() -> None:
    ids = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(10_000)]
    for number in (5_100, 7_000, 9_500, 10_000):
        assert first_of_shards(ids[:number], np.full(number, 100), shard_bytes=1_000_000) == [0]


def test_a_set_that_fits_has_one_file_in_the_order_of_its_rows(tmp_path: Path) -> None:
    images = named(NAMES[:50])
    assert len(written(tmp_path / "p", images)) == 1
    assert sorted(file.name for file in (tmp_path / "p/images").iterdir()) == ["0000.npy"]
    np.testing.assert_array_equal(np.load(tmp_path / "p/images/0000.npy"), images.images)
    assert first_of_shards([], np.zeros(0, np.int64)) == [0]


def test_an_image_larger_than_a_file_has_one_of_its_own() -> None:
    assert first_of_shards(["a", "b", "c"], np.array([10, 500, 10]), shard_bytes=100) == [0, 1, 2]

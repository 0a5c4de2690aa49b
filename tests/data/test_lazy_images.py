import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from touchstone.data.imageset import ImageSet, write
from touchstone.data.lazy_images import StoredImages, release


def pixels(number: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (number, side, side, 3), np.uint8)


SIZES = np.array([(4, 6), (5, 3), (2, 2)])


def of_sizes() -> tuple[StoredImages, list[np.ndarray], np.ndarray]:
    """Return images, the same one by one, and the same padded."""
    flat = np.random.default_rng(0).integers(1, 256, (SIZES.prod(1).sum(), 3), np.uint8)
    alone = [part.reshape(*size, 3) for part, size in zip(np.split(flat, (24, 39)), SIZES, strict=True)]
    padded = np.zeros((3, 5, 6, 3), np.uint8)
    for row, image in zip(padded, alone, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    return StoredImages.uneven(flat, SIZES), alone, padded


def test_images_of_several_sizes_read_like_an_array() -> None:
    images, alone, padded = of_sizes()
    assert (len(images), images.shape, images.ndim, images.dtype) == (3, padded.shape, 4, np.uint8)
    for row, image in enumerate(images):
        np.testing.assert_array_equal(image, alone[row])
        np.testing.assert_array_equal(images[row], alone[row])
        np.testing.assert_array_equal(images[row - 3], alone[row])
        np.testing.assert_array_equal(images[np.int64(row), 1:, :2], alone[row][1:, :2])
    np.testing.assert_array_equal(images[:], padded)
    np.testing.assert_array_equal(images[[2, 0]], padded[[2, 0], :4])
    np.testing.assert_array_equal(images[np.array([1, 1])], padded[[1, 1], :5, :3])
    np.testing.assert_array_equal(images[1:, :2], padded[1:, :2, :3])
    assert images[3:].shape == (0, 0, 0, 3)
    with pytest.raises(IndexError):
        images[3]


def test_rows_of_several_sizes_are_taken_without_a_copy() -> None:
    images, alone, _ = of_sizes()
    taken = images.take([2, 0])
    assert taken.shape == (2, 4, 6, 3)
    assert np.shares_memory(taken[1], images[0])
    np.testing.assert_array_equal(taken[1], alone[0])
    assert taken.sizes.tolist() == SIZES[[2, 0]].tolist()
    np.testing.assert_array_equal(taken.take([1, 1])[0], alone[0])
    np.testing.assert_array_equal(np.asarray(taken), taken[:])


@pytest.mark.parametrize("rows", [42, 44])
def test_other_pixels_than_those_of_the_sizes_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match=r"got pixels \(4[24], 3\), expected those of 3 images"):
        StoredImages.uneven(np.zeros((rows, 3), np.uint8), SIZES)


def test_images_of_one_size_in_several_files_read_like_an_array() -> None:
    images = pixels(5)
    places = np.array([(0, 0), (1, 1), (1, 0), (0, 1), (1, 2)])
    stored = StoredImages([images[[0, 3]], images[[2, 1, 4]]], np.full((5, 2), 8), places)
    assert stored.shape == images.shape
    np.testing.assert_array_equal(stored[:], images)
    np.testing.assert_array_equal(stored[np.array([4, 1])], images[[4, 1]])
    with pytest.raises(ValueError, match=r"got pixels \(2, 8, 8, 3\), expected those of 5 images"):
        StoredImages([images[:2]], np.full((5, 2), 8), places)


def test_released_pixels_are_the_same_when_read_again(tmp_path: Path) -> None:
    images = pixels(50)
    np.save(tmp_path / "p.npy", images)
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    part = mapped[10:20, 2:]
    assert part.sum()
    for each in (mapped, part, images):
        release(each)
    np.testing.assert_array_equal(mapped, images)
    np.testing.assert_array_equal(part, images[10:20, 2:])


def test_what_was_changed_in_a_private_map_is_kept(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", pixels(50))
    private = np.load(tmp_path / "p.npy", mmap_mode="c")
    private[7] = 1
    release(private)
    assert (private[7] == 1).all()


def resident_kib(file: Path) -> int:
    """Return how much of a file that it maps the process holds."""
    sizes, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:
            inside = line.endswith(str(file))
        elif inside and line.startswith("Rss:"):
            sizes += int(line.split()[1])
    return sizes


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_copying_a_large_set_leaves_none_of_it_in_memory(tmp_path: Path) -> None:
    images = pixels(400, 64)
    np.save(tmp_path / "p.npy", images)
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    assert mapped.sum()
    assert resident_kib(tmp_path / "p.npy") > 4000
    ids = [str(i) for i in range(400)]
    table = pd.DataFrame({"id": ids, "label": "a", "source_id": ids, "origin": "real"})
    order = np.random.default_rng(0).permutation(400)
    (tmp_path / "set").mkdir()
    write(tmp_path / "set", ImageSet(mapped, table), rows=order)
    assert resident_kib(tmp_path / "p.npy") < 100
    np.testing.assert_array_equal(np.load(tmp_path / "set/images/0000.npy"), images[order])

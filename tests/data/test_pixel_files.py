import io
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from touchstone.data.imageset import ImageSet, write
from touchstone.data.pixel_files import GrowingFile, PixelFile, Uneven, release


def pixels(number: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (number, side, side, 3), np.uint8)


@pytest.mark.parametrize("number", [0, 1, 100])
def test_a_file_written_in_blocks_is_that_of_numpy(tmp_path: Path, number: int) -> None:
    images, expected = pixels(number), io.BytesIO()
    np.save(expected, images)
    with PixelFile(tmp_path / "p.npy", images.shape, images.dtype) as out, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda start: out.write(start, images[start : start + 7]), reversed(range(0, number, 7))))
    assert (tmp_path / "p.npy").read_bytes() == expected.getvalue()


def test_rows_that_are_not_written_are_black(tmp_path: Path) -> None:
    with PixelFile(tmp_path / "p.npy", (5, 2, 2, 1), np.dtype(np.uint8)) as out:
        out.write(3, np.full((1, 2, 2, 1), 9, np.uint8))
    assert np.load(tmp_path / "p.npy").max((1, 2, 3)).tolist() == [0, 0, 0, 9, 0]


def test_blocks_of_any_layout_are_written_as_they_read(tmp_path: Path) -> None:
    images = pixels(6)[:, ::-1, :, ::2]
    with PixelFile(tmp_path / "p.npy", images.shape, images.dtype) as out:
        out.write(0, images)
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), images)


def test_a_file_that_grows_is_that_of_numpy(tmp_path: Path) -> None:
    rows, expected = pixels(9).reshape(-1, 3), io.BytesIO()
    np.save(expected, rows)
    with GrowingFile(tmp_path / "p.npy", 3, rows.dtype) as out:
        assert [out.append(part) for part in np.split(rows, (5, 6, 200))] == [0, 5, 6, 200]
    assert (tmp_path / "p.npy").read_bytes() == expected.getvalue()


def test_threads_that_add_to_a_file_keep_out_of_each_others_rows(tmp_path: Path) -> None:
    parts = [np.full((number + 1, 3), number, np.uint8) for number in range(100)]
    with GrowingFile(tmp_path / "p.npy", 3, np.dtype(np.uint8)) as out, ThreadPoolExecutor(4) as pool:
        starts = list(pool.map(out.append, parts))
    written = np.load(tmp_path / "p.npy")
    assert len(written) == sum(range(101))
    for part, start in zip(parts, starts, strict=True):
        np.testing.assert_array_equal(written[start : start + len(part)], part)


SIZES = np.array([(4, 6), (5, 3), (2, 2)])


def of_sizes() -> tuple[Uneven, list[np.ndarray], np.ndarray]:
    """Return images, the same one by one, and the same padded."""
    flat = np.random.default_rng(0).integers(1, 256, (SIZES.prod(1).sum(), 3), np.uint8)
    alone = [part.reshape(*size, 3) for part, size in zip(np.split(flat, (24, 39)), SIZES, strict=True)]
    padded = np.zeros((3, 5, 6, 3), np.uint8)
    for row, image in zip(padded, alone, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    return Uneven(flat, SIZES), alone, padded


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
    assert taken.pixels is images.pixels
    assert taken.shape == (2, 4, 6, 3)
    np.testing.assert_array_equal(taken[1], alone[0])


@pytest.mark.parametrize("rows", [42, 44])
def test_other_pixels_than_those_of_the_sizes_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match=r"got pixels \(4[24], 3\), expected those of 3 images"):
        Uneven(np.zeros((rows, 3), np.uint8), SIZES)


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
    """What the process holds of a file that it maps."""
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
    np.testing.assert_array_equal(np.load(tmp_path / "set/images.npy"), images[order])

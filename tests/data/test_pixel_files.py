import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from touchstone.data.pixel_files import GrowingFile, PixelFile


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
    with GrowingFile(tmp_path / "p.npy", rows.dtype, 3) as out:
        assert [out.append(part) for part in np.split(rows, (5, 6, 200))] == [0, 5, 6, 200]
    assert (tmp_path / "p.npy").read_bytes() == expected.getvalue()


def test_threads_that_add_to_a_file_keep_out_of_each_others_rows(tmp_path: Path) -> None:
    parts = [np.full((number + 1, 3), number, np.uint8) for number in range(100)]
    with GrowingFile(tmp_path / "p.npy", np.dtype(np.uint8), 3) as out, ThreadPoolExecutor(4) as pool:
        starts = list(pool.map(out.append, parts))
    written = np.load(tmp_path / "p.npy")
    assert len(written) == sum(range(101))
    for part, start in zip(parts, starts, strict=True):
        np.testing.assert_array_equal(written[start : start + len(part)], part)


def test_a_file_of_bytes_grows_likewise(tmp_path: Path) -> None:
    with GrowingFile(tmp_path / "p.npy", np.dtype(np.uint8)) as out:
        assert [out.append(np.frombuffer(part, np.uint8)) for part in (b"abc", b"", b"defg")] == [0, 3, 3]
    assert np.load(tmp_path / "p.npy").tobytes() == b"abcdefg"

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from touchstone.data.copies import NearCopies, near_copies
from touchstone.data.thumbnails import thumbnails


def photographs(count: int, seed: int) -> np.ndarray:
    """Smooth random pictures: blurred noise, 32 px."""
    noise = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_CUBIC) for image in noise])


def search(held_out: np.ndarray, train: np.ndarray, close: int = 20) -> NearCopies:
    return near_copies(thumbnails(held_out), thumbnails(train), close=close)


def noisy(images: np.ndarray, seed: int) -> np.ndarray:
    """The images with another brightness and contrast, and with noise."""
    noise = np.random.default_rng(seed).integers(-4, 5, images.shape)
    return np.clip(images * 0.8 + 30 + noise, 0, 255).astype(np.uint8)


def test_planted_near_copies_are_found_and_strangers_are_not() -> None:
    train, held_out = photographs(300, 0), photographs(100, 1)
    held_out[:20] = noisy(train[:20], 2)
    held_out[20:30] = train[20:30, :, ::-1]  # mirrored
    held_out[30:40] = np.roll(train[30:40], 1, axis=2)  # shifted by a pixel
    found = search(held_out, train)
    assert found.held_out.tolist() == list(range(40))
    assert found.train.tolist() == list(range(40))
    assert np.flatnonzero(found.mirrored).tolist() == list(range(20, 30))
    assert found.log10_p.max() < -4


@pytest.mark.parametrize("copies", [2, 8, 15])
def test_all_copies_of_an_image_are_found_and_do_not_hide_one_another(copies: int) -> None:
    train, held_out = photographs(400, 0), photographs(30, 1)
    for i in range(10):
        train[i * copies : (i + 1) * copies] = [noisy(held_out[i], 10 * i + k) for k in range(copies)]
    found = search(held_out, train)
    assert sorted(found.train) == list(range(10 * copies))
    assert (found.held_out == found.train // copies).all()


def test_images_that_lie_close_by_nature_are_no_copies() -> None:
    """These are variations of ten drawings: each is near to many, but none nearer than its neighbourhood explains."""
    rng = np.random.default_rng(0)
    drawings = photographs(10, 3).astype(int)
    varied = [np.clip(drawings[i % 10] + rng.normal(0, 12, drawings[0].shape), 0, 255) for i in range(2000)]
    images = np.stack(varied).astype(np.uint8)
    assert len(search(images[:200], images[200:]).train) <= 1
    images[0] = images[300]
    assert 100 in search(images[:200], images[200:]).train


def test_too_few_training_images_give_no_pairs() -> None:
    for count in (0, 39):
        assert len(search(photographs(3, 0), photographs(40, 0)[:count]).train) == 0


def test_images_of_a_single_colour_are_ignored() -> None:
    plain = np.full((80, 16, 16, 1), 100, np.uint8)
    assert len(search(plain[:2], plain[2:]).train) == 0
    mixed = np.concatenate([np.full((200, 32, 32, 3), 9, np.uint8), photographs(40, 0)])
    assert len(search(photographs(10, 5), mixed).train) == 0, "unrelated images stay unrelated among blank ones"


@pytest.mark.slow
def test_natural_copies_in_cifar10(test_data: Path, tmp_path: Path) -> None:
    """A fifth of the test images has about the share of copies found by eye in all (3.3 %), nearly all of one class."""
    from touchstone.data.sources import cifar10

    subprocess.run([sys.executable, str(test_data / "restore_cifar10.py"), str(tmp_path)], check=True)
    (tmp_path / "raw").mkdir()
    cifar10.download(to=tmp_path / "raw", path=tmp_path, mirror=str(tmp_path))
    raw = cifar10.read(raw=tmp_path / "raw")
    pixels = np.stack([raw.pixels(i, channels=3, max_pixels=10**6) for i in range(len(raw.images))])
    train, test = (np.array([image.split == name for image in raw.images]) for name in ("train", "test"))
    labels = np.array([image.label for image in raw.images])
    found = search(pixels[test][:2000], pixels[train])
    assert 0.025 < len(np.unique(found.held_out)) / 2000 < 0.045
    assert (labels[test][found.held_out] == labels[train][found.train]).mean() > 0.98

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from touchstone.copies import near_copies


def photographs(count: int, seed: int) -> np.ndarray:
    """Smooth random pictures: blurred noise, 32 px."""
    import cv2

    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (count, 8, 8, 3), np.uint8)
    return np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_CUBIC) for image in noise])


def test_planted_near_copies_are_found_and_strangers_are_not() -> None:
    train, held_out = photographs(200, 0), photographs(100, 1)
    noise = np.random.default_rng(2).integers(-4, 5, held_out[:20].shape)
    held_out[:20] = np.clip(train[:20] * 0.8 + 30 + noise, 0, 255)  # other brightness and contrast, and noise
    held_out[20:30] = train[20:30, :, ::-1]  # mirrored
    held_out[30:40] = np.roll(train[30:40], 1, axis=2)  # shifted by a pixel
    found = near_copies(held_out, train)
    assert found.found[:40].all()
    assert not found.found[40:].any()
    assert found.row[:40].tolist() == list(range(40))
    assert found.mirrored[20:30].all()
    assert not found.mirrored[:20].any()
    assert not found.mirrored[30:40].any()


def test_images_that_lie_close_by_nature_are_no_copies() -> None:
    """Variations of ten plain drawings: each is near to many, none nearer than its neighbourhood explains."""
    rng = np.random.default_rng(0)
    drawings = photographs(10, 3).astype(int)
    varied = [np.clip(drawings[i % 10] + rng.normal(0, 12, drawings[0].shape), 0, 255) for i in range(600)]
    images = np.stack(varied).astype(np.uint8)
    assert near_copies(images[:200], images[200:]).found.sum() <= 1
    images[0] = images[300]
    assert near_copies(images[:200], images[200:]).found[0]


def test_with_too_few_training_images_nothing_is_said() -> None:
    for count in (0, 9):
        found = near_copies(photographs(3, 0), photographs(12, 1)[:count])
        assert not found.found.any()
        assert found.row.tolist() == [-1] * 3


def test_images_of_one_colour_have_no_near_copies() -> None:
    plain = np.full((40, 16, 16, 1), 100, np.uint8)
    assert not near_copies(plain[:2], plain[2:]).found.any()


@pytest.mark.slow
def test_natural_copies_in_cifar10(test_data: Path, tmp_path: Path) -> None:
    """Of a fifth of the test images about as many are found as by eye in all (3.3 %), nearly all of their class."""
    from touchstone.sources import cifar10

    subprocess.run([sys.executable, str(test_data / "restore_cifar10.py"), str(tmp_path)], check=True)
    (tmp_path / "raw").mkdir()
    cifar10.download(to=tmp_path / "raw", path=tmp_path, mirror=str(tmp_path))
    raw = cifar10.read(raw=tmp_path / "raw")
    pixels = np.stack([raw.pixels(i, channels=3, max_pixels=10**6) for i in range(len(raw.images))])
    train, test = (np.array([image.split == name for image in raw.images]) for name in ("train", "test"))
    labels = np.array([image.label for image in raw.images])
    found = near_copies(pixels[test][:2000], pixels[train])
    assert 0.025 < found.found.mean() < 0.045
    same = labels[test][:2000] == labels[train][found.row]
    assert same[found.found].mean() > 0.98

"""Pictures of 2x2 images: all their labels, splits that share no image, the same bytes again."""

from pathlib import Path

import numpy as np
import pytest

from touchstone import cli
from touchstone.data.sources import ArraySet, RawImage, voc
from touchstone.errors import TouchstoneError
from touchstone.studies import mosaics

COUNTS = {"train": 30, "val": 8, "test": 12}
CLASSES = ["a&b", "c", "d"]


def raw(*, test: int = 10, train: int = 40) -> ArraySet:
    """All pixels of image i are i, which identifies it in a picture."""
    splits = ["train"] * train + ["test"] * test
    images = [RawImage(str(i), CLASSES[i % 3], split, f"{i}.png") for i, split in enumerate(splits)]
    pixels = np.broadcast_to(np.arange(len(images), dtype=np.uint8)[:, None, None, None], (len(images), 4, 4, 3))
    return ArraySet(CLASSES, images, pixels)


def test_pictures_have_the_labels_of_their_images_and_splits_share_no_image(tmp_path: Path) -> None:
    source = raw()
    mosaics.write(source, tmp_path / "out", counts=COUNTS, seed=0)
    (tmp_path / "raw").mkdir()
    voc.download(to=tmp_path / "raw", path=tmp_path / "out", mirror="")
    found = voc.read(raw=tmp_path / "raw")
    assert found.classes == CLASSES
    used: dict[str, set[int]] = {}
    for i, image in enumerate(found.images):
        picture = found.pixels(i, channels=3, max_pixels=100)
        assert picture.shape == (8, 8, 3)
        parts = {int(picture[y, x, 0]) for y in (0, 4) for x in (0, 4)}
        assert set(image.label.split("|")) == {source.images[j].label for j in parts}
        used.setdefault(image.split, set()).update(parts)
    assert {split: sum(image.split == split for image in found.images) for split in COUNTS} == COUNTS
    assert not used["train"] & used["val"]
    assert max(used["train"] | used["val"]) < 40 <= min(used["test"])


def test_the_same_bytes_and_others_by_seed(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        mosaics.write(raw(), tmp_path / name, counts=COUNTS, seed=seed)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) == 2 * 50 + 3
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)
    assert any((tmp_path / "one" / file).read_bytes() != (tmp_path / "other" / file).read_bytes() for file in files)


def test_what_cannot_be_made_is_one_line(tmp_path: Path, capsys) -> None:
    with pytest.raises(TouchstoneError, match="no test split of its own"):
        mosaics.write(raw(test=0), tmp_path / "out", counts=COUNTS, seed=0)
    with pytest.raises(TouchstoneError, match="no images for val pictures"):
        mosaics.write(raw(train=3), tmp_path / "out", counts=COUNTS, seed=0)
    assert not (tmp_path / "out").exists()
    for arguments, said in (
        ([str(tmp_path)], "expected a new folder in one that exists"),
        ([str(tmp_path / "new"), "--train", "0"], "at least one picture each"),
        ([str(tmp_path / "new"), "--source", "cifar11"], "did you mean cifar10?"),
        ([str(tmp_path / "new"), "--source", "digits"], "no test split of its own"),
    ):
        with pytest.raises(SystemExit):
            cli.main(["mosaics", *arguments])
        error = capsys.readouterr().err.strip()
        assert said in error
        assert "\n" not in error
    assert not (tmp_path / "new").exists()

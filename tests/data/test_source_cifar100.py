import hashlib
import pickle
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from touchstone.data.sources import _cifar100, cifar100, cifar100_coarse
from touchstone.errors import TouchstoneError

NUM = {"train": 6, "test": 4}


def content(name: str) -> dict[bytes, Any]:
    if name == "meta":
        return {b"fine_label_names": [b"crab", b"oak", b"seal"], b"coarse_label_names": [b"animal", b"plant"]}
    fine = [index % 3 for index in range(NUM[name])]
    return {
        b"data": np.random.default_rng(NUM[name]).integers(0, 256, (NUM[name], 3072), np.uint8),
        b"fine_labels": fine,
        b"coarse_labels": [int(label == 1) for label in fine],
        b"filenames": [b"%s_%d.png" % (name.encode(), index) for index in range(NUM[name])],
    }


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small archive in the official layout, and `unpacked` with its folder."""
    folder = tmp_path / "unpacked" / _cifar100.FOLDER
    folder.mkdir(parents=True)
    for name in _cifar100.MD5:
        (folder / name).write_bytes(pickle.dumps(content(name), protocol=4))
    with tarfile.open(tmp_path / _cifar100.ARCHIVE, "w:gz") as archive:
        archive.add(folder, arcname=_cifar100.FOLDER)
    monkeypatch.setattr(_cifar100, "MD5", {name: md5(folder / name) for name in _cifar100.MD5})
    monkeypatch.setattr(_cifar100, "ARCHIVE_MD5", md5(tmp_path / _cifar100.ARCHIVE))
    return tmp_path


def download(folder: Path, mirror: Path, old: Path | None = None) -> Path:
    raw = folder / f"raw{len(list(folder.glob('raw*')))}"
    raw.mkdir()
    cifar100.download(to=raw, path=Path("unused"), mirror=str(mirror), old=old)
    assert {file.name: md5(file) for file in raw.iterdir()} == _cifar100.MD5
    return raw


def test_an_archive_its_folder_and_an_earlier_download_give_the_same_files(mirror: Path) -> None:
    raw = download(mirror, mirror)
    download(mirror, mirror / "unpacked")
    shutil.rmtree(mirror / "unpacked")
    download(mirror, mirror / "nothing", old=raw)


@pytest.mark.parametrize(
    ("source", "classes", "first"),
    [
        (cifar100, ["crab", "oak", "seal"], ["crab", "oak", "seal", "crab"]),
        (cifar100_coarse, ["animal", "plant"], ["animal", "plant", "animal", "animal"]),
    ],
)
def test_read(mirror: Path, source: Any, classes: list[str], first: list[str]) -> None:
    raw = source.read(raw=download(mirror, mirror))
    assert raw.classes == classes
    assert [image.label for image in raw.images[:4]] == first
    assert [image.split for image in raw.images] == ["train"] * 6 + ["test"] * 4
    assert raw.images[7].file == "test/test_1.png"
    planes = content("test")[b"data"][1].reshape(3, 32, 32)
    pixels = raw.pixels(7, channels=3, max_pixels=1024)
    np.testing.assert_array_equal(pixels, np.stack(list(planes), axis=2))
    assert raw.images[7].id == hashlib.sha256(pixels.tobytes()).hexdigest()


def test_a_wrong_file_is_refused(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_cifar100.MD5, "train", "0" * 32)
    for where in (mirror, mirror / "unpacked"):
        with pytest.raises(TouchstoneError, match=r"train: got md5 .*, expected 0{32}; the file is damaged"):
            download(mirror, where)


def test_the_md5_are_those_that_torchvision_publishes() -> None:
    from torchvision.datasets import CIFAR100

    assert (
        CIFAR100.url,
        CIFAR100.base_folder,
        CIFAR100.tgz_md5,
    ) == (_cifar100.URL, _cifar100.FOLDER, _cifar100.ARCHIVE_MD5)
    published = dict([*CIFAR100.train_list, *CIFAR100.test_list]) | {CIFAR100.meta["filename"]: CIFAR100.meta["md5"]}
    assert published == _cifar100.MD5

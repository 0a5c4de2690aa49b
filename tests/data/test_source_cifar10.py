import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from touchstone.data.sources import cifar10
from touchstone.errors import TouchstoneError

NUM = 10  # images in a batch
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def make_batch(seed: int) -> dict[bytes, Any]:
    return {
        b"data": np.random.default_rng(seed).integers(0, 256, (NUM, 3072), np.uint8),
        b"labels": [(index * 3 + seed) % 10 for index in range(NUM)],
        b"filenames": [b"image_%d_%d.png" % (seed, index) for index in range(NUM)],
    }


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the archive of seven small batches, and those batches in `unpacked/cifar-10-batches-py`."""
    batches = tmp_path / "unpacked" / cifar10.FOLDER
    batches.mkdir(parents=True)
    for seed, name in enumerate(cifar10.BATCHES):
        (batches / name).write_bytes(pickle.dumps(make_batch(seed), protocol=4))
    meta = {b"label_names": [name.encode() for name in CLASSES], b"num_cases_per_batch": NUM}
    (batches / cifar10.META).write_bytes(pickle.dumps(meta, protocol=4))
    (batches / "readme.html").write_bytes(b"<html>")
    (tmp_path / "archive").mkdir()
    archive = tmp_path / "archive" / cifar10.ARCHIVE
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(batches, arcname=cifar10.FOLDER)
    monkeypatch.setattr(cifar10, "MD5", {name: md5(batches / name) for name in cifar10.MD5})
    monkeypatch.setattr(cifar10, "ARCHIVE_MD5", md5(archive))
    return tmp_path


@pytest.fixture
def url(packed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    handler = partial(SimpleHTTPRequestHandler, directory=str(packed / "archive"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


def download(folder: Path, mirror: str) -> Path:
    """The raw folder; nothing else may be new beside it."""
    raw = folder / "raw"
    raw.mkdir()
    before = set(folder.iterdir())
    cifar10.download(to=raw, path=Path("unused"), mirror=mirror)
    assert set(folder.iterdir()) == before
    return raw


def refused(folder: Path, mirror: str) -> str:
    with pytest.raises(TouchstoneError) as raised:
        download(folder, mirror)
    assert not list(folder.glob(".*"))
    return str(raised.value)


def check_files(raw: Path) -> None:
    assert {file.name: md5(file) for file in raw.iterdir()} == cifar10.MD5


@pytest.mark.parametrize("mirror", ["archive", "unpacked", f"unpacked/{cifar10.FOLDER}"])
def test_from_a_directory(packed: Path, mirror: str) -> None:
    check_files(download(packed, str(packed / mirror)))


def test_from_a_url(packed: Path, url: str) -> None:
    check_files(download(packed, url))


def test_from_the_official_address(packed: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "URL", f"{url}/{cifar10.ARCHIVE}")
    check_files(download(packed, ""))


def test_read(packed: Path) -> None:
    raw_set = cifar10.read(raw=download(packed, str(packed / "archive")))
    assert raw_set.classes == CLASSES
    assert [image.split for image in raw_set.images] == ["train"] * 5 * NUM + ["test"] * NUM
    assert raw_set.images[0].file == "data_batch_1/image_0_0.png"
    assert raw_set.images[-1].file == f"test_batch/image_5_{NUM - 1}.png"
    for index in (0, NUM + 3, 6 * NUM - 1):
        batch = make_batch(index // NUM)
        planes = batch[b"data"][index % NUM].reshape(3, 32, 32)
        pixels = raw_set.pixels(index, channels=3, max_pixels=1024)
        np.testing.assert_array_equal(pixels, np.stack(list(planes), axis=2))
        assert raw_set.images[index].id == hashlib.sha256(pixels.tobytes()).hexdigest()
        assert raw_set.images[index].label == CLASSES[batch[b"labels"][index % NUM]]
    assert raw_set.pixels(0, channels=1, max_pixels=1024).shape == (32, 32, 1)


def test_a_mirror_without_anything(packed: Path) -> None:
    message = refused(packed, str(packed))
    assert message.startswith(f"source.mirror: {packed} holds no {cifar10.ARCHIVE}")


def test_a_mirror_that_lacks_a_batch(packed: Path) -> None:
    (packed / "unpacked" / cifar10.FOLDER / "data_batch_3").unlink()
    assert "holds no data_batch_3" in refused(packed, str(packed / "unpacked"))


def test_a_damaged_batch(packed: Path) -> None:
    (packed / "unpacked" / cifar10.FOLDER / "data_batch_3").write_bytes(b"x")
    assert "data_batch_3: got md5" in refused(packed, str(packed / "unpacked"))


def test_a_damaged_archive(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "ARCHIVE_MD5", "0" * 32)
    assert f"{cifar10.ARCHIVE}: got md5" in refused(packed, str(packed / "archive"))


def test_an_archive_with_another_batch(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cifar10.MD5, "test_batch", "0" * 32)
    assert "test_batch: got md5" in refused(packed, str(packed / "archive"))


def test_an_archive_without_a_batch(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cifar10.MD5, "data_batch_6", "0" * 32)
    assert "no data_batch_6 in it" in refused(packed, str(packed / "archive"))


def test_damaged_raw_data(packed: Path) -> None:
    raw = download(packed, str(packed / "archive"))
    (raw / "data_batch_2").write_bytes(b"x")
    with pytest.raises(TouchstoneError, match=r"data_batch_2: got md5 .*, expected .*; the file is damaged"):
        cifar10.read(raw=raw)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("made-by-a-pickle",)


def test_a_pickle_calls_nothing(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(packed)
    raw = download(packed, str(packed / "archive"))
    (raw / cifar10.META).write_bytes(pickle.dumps(Evil()))
    monkeypatch.setitem(cifar10.MD5, cifar10.META, md5(raw / cifar10.META))
    with pytest.raises(TouchstoneError, match=r"asks for \w+\.mkdir, expected arrays"):
        cifar10.read(raw=raw)
    assert not (packed / "made-by-a-pickle").exists()


@pytest.mark.skipif(
    "TOUCHSTONE_TEST_DATA" not in os.environ, reason="TOUCHSTONE_TEST_DATA names no folder of real data"
)
def test_the_real_data(tmp_path: Path) -> None:
    script = Path(os.environ["TOUCHSTONE_TEST_DATA"]) / "restore_cifar10.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, stdout=subprocess.DEVNULL)
    raw_set = cifar10.read(raw=download(tmp_path, str(tmp_path)))
    assert raw_set.classes == CLASSES
    assert len({image.file for image in raw_set.images}) == 60_000
    assert sum(image.split == "test" for image in raw_set.images) == 10_000
    train = np.array([image.label for image in raw_set.images if image.split == "train"])
    assert {name: int((train == name).sum()) for name in CLASSES} == dict.fromkeys(CLASSES, 5000)
    assert (raw_set.images[0].label, raw_set.images[0].file.split("/")[0]) == ("frog", "data_batch_1")
    # The published mean of the training pixels.
    part = raw_set.array[:50_000].reshape(-1, 3)
    np.testing.assert_allclose(part.mean(axis=0) / 255, [0.4914, 0.4822, 0.4465], atol=1e-4)
    shutil.rmtree(tmp_path)


def test_an_earlier_download_is_reused_unless_it_is_damaged(packed: Path, tmp_path: Path) -> None:
    old = download(tmp_path, str(packed / "archive"))
    new = tmp_path / "new"
    new.mkdir()
    cifar10.download(to=new, path=tmp_path, mirror="http://127.0.0.1:9", old=old)
    assert {file.name: file.read_bytes() for file in new.iterdir()} == {f.name: f.read_bytes() for f in old.iterdir()}
    (old / "test_batch").write_bytes(b"damaged")
    again = tmp_path / "again"
    again.mkdir()
    cifar10.download(to=again, path=tmp_path, mirror=str(packed / "archive"), old=old)
    assert md5(again / "test_batch") == cifar10.MD5["test_batch"]

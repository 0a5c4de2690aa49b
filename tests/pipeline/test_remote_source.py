"""`source.path` as an address of S3: DVC watches it, and `download` packs what lies there."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kit.project import ENVIRONMENT, project, run

server = pytest.importorskip("moto.server", reason="moto, a server of S3 for tests, is not installed")
pytest.importorskip("s3fs", reason="the extra s3 is not installed")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """The file system of an S3 server on this machine."""
    import s3fs

    started = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    started.start()
    host, port = started.get_host_and_port()
    settings = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "NO_PROXY": host,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setitem(ENVIRONMENT, name, value)
    system = s3fs.S3FileSystem(skip_instance_cache=True)
    system.mkdir("birds")
    yield system
    started.stop()


def png(seed: int) -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_a_new_image_in_the_bucket_runs_download_again(bucket, tmp_path: Path) -> None:
    for number in range(40):
        bucket.pipe(f"birds/set/{'owl' if number % 2 else 'emu'}/{number}.png", png(number))
    changes = ("source.path=s3://birds/set", "data.source=folder", "data.channels=3", "data.image_size=8")
    arms = ("generators={}", "arms={real: {add: []}, repeat: {add: [repeat]}, fixed: {add: [tilt_left]}}")
    folder = project(tmp_path / "p", *arms, *changes, "data.train_size=0", "data.test_fraction=0.2")
    run("dvc", "repro", "prepare", cwd=folder)
    assert (folder / "data/raw/manifest.csv").read_text().count("\n") == 41
    assert "Running stage" not in run("dvc", "repro", "prepare", cwd=folder).stdout
    bucket.pipe("birds/set/owl/new.png", png(99))
    assert "Running stage 'download'" in run("dvc", "repro", "prepare", cwd=folder).stdout
    assert "owl/new.png" in (folder / "data/raw/manifest.csv").read_text()
    assert sorted(os.listdir(folder / "data")) == ["external", "prepared", "raw", "settings", "weights"]

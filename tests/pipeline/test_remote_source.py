"""`source.path` as an address of S3 or of Google's storage: DVC watches it, and `download` packs what lies there."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from kit.google import google_bucket
from kit.project import ENVIRONMENT, project, run


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, bytes], object]]:
    """Write a file to the bucket `birds` of an S3 server on this machine."""
    server = pytest.importorskip("moto.server", reason="moto, a server of S3 for tests, is not installed")
    s3fs = pytest.importorskip("s3fs", reason="the extra s3 is not installed")
    started = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    started.start()
    host, port = started.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    _set(monkeypatch, **keys, AWS_ENDPOINT_URL=f"http://{host}:{port}", NO_PROXY=host)
    system = s3fs.S3FileSystem(skip_instance_cache=True)
    system.mkdir("birds")
    yield lambda name, content: system.pipe(f"birds/{name}", content)
    system.rm("birds", recursive=True)  # moto's buckets are those of the process
    started.stop()


@pytest.fixture
def gs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, bytes], object]]:
    """Write a file to the bucket `birds` of a server of Google's storage on this machine."""
    pytest.importorskip("gcsfs", reason="the extra gs is not installed")
    with google_bucket("birds") as bucket:
        _set(monkeypatch, STORAGE_EMULATOR_HOST=bucket.address, NO_PROXY="127.0.0.1")
        yield bucket.objects.__setitem__


def _set(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setitem(ENVIRONMENT, name, value)


def png(seed: int) -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("protocol", ["s3", "gs"])
def test_a_new_image_in_the_bucket_runs_download_again(
    protocol: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    put: Callable[[str, bytes], object] = request.getfixturevalue(protocol)
    for number in range(40):
        put(f"set/{'owl' if number % 2 else 'emu'}/{number}.png", png(number))
    changes = (f"source.path={protocol}://birds/set", "data.source=folder", "data.channels=3", "data.image_size=8")
    arms = ("generators={}", "arms={real: {add: []}, repeat: {add: [repeat]}, fixed: {add: [tilt_left]}}")
    folder = project(tmp_path / "p", *arms, *changes, "data.train_size=0", "data.test_fraction=0.2")
    run("dvc", "repro", "prepare", cwd=folder)
    assert (folder / "data/raw/manifest.csv").read_text().count("\n") == 41
    assert "Running stage" not in run("dvc", "repro", "prepare", cwd=folder).stdout
    put("set/owl/new.png", png(99))
    assert "Running stage 'download'" in run("dvc", "repro", "prepare", cwd=folder).stdout
    assert "owl/new.png" in (folder / "data/raw/manifest.csv").read_text()
    assert sorted(os.listdir(folder / "data")) == ["added", "external", "prepared", "raw", "settings", "weights"]

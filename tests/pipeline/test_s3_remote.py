"""Outputs that travel over an S3 remote, a server on 127.0.0.1: to a clone without any, and by DVC's run-cache."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit.project import run
from touchstone.config.yaml import changed

pytestmark = pytest.mark.slow
WITHOUT = "no S3 server: pip install dvc-s3 'moto[server]'"
pytest.importorskip("dvc_s3", reason=WITHOUT)
moto = pytest.importorskip("moto.server", reason=WITHOUT)
boto3 = pytest.importorskip("boto3", reason=WITHOUT)
STAGE = "train@simple-real"
KEYS = {"access_key_id": "test", "secret_access_key": "test", "region": "us-east-1"}


class Store:
    """A bucket on a server of its own."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        keys = {f"aws_{name}": value for name, value in KEYS.items() if name != "region"}
        self.client = boto3.client("s3", endpoint_url=endpoint, region_name=KEYS["region"], **keys)
        self.client.create_bucket(Bucket="study")

    def objects(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="study")
        return [each["Key"] for page in pages for each in page.get("Contents", ())]

    def connect(self, folder: Path) -> Path:
        run("dvc", "remote", "add", "--local", "-f", "-d", "store", "s3://study/dvc", cwd=folder)
        for name, value in (KEYS | {"endpointurl": self.endpoint}).items():
            run("dvc", "remote", "modify", "--local", "store", name, value, cwd=folder)
        return folder


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield Store(f"http://{host}:{port}")
    server.stop()


@pytest.fixture
def pushed(store: Store, tiny_space: Path) -> Path:
    run("dvc", "push", "--run-cache", cwd=store.connect(tiny_space))
    return tiny_space


def clone(project: Path, store: Store, to: Path) -> Path:
    """Another machine: the project's commits, an empty cache, and the remote."""
    run("git", "clone", "-q", project, to, cwd=to.parent)
    return store.connect(to)


def change(folder: Path) -> None:
    file = folder / "params.yaml"
    file.write_text(changed(file.read_text(), ["models.simple.lr=0.003"]))


def entry(folder: Path) -> dict[str, Any]:
    stages: dict[str, dict[str, Any]] = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    return stages[STAGE]


def test_a_clone_has_all_outputs_after_a_pull(store: Store, pushed: Path, tmp_path: Path) -> None:
    other = clone(pushed, store, tmp_path / "clone")
    assert not (other / "data/runs").exists()
    run("dvc", "pull", cwd=other)
    assert run("dvc", "status", cwd=other).stdout == "Data and pipelines are up to date.\n"
    assert run("touchstone", "repro", cwd=other).stdout.startswith("Everything is up to date.")
    for name in ("data/runs/simple-real/0.safetensors", "data/probs/simple-real/test.npy"):
        if (pushed / name).exists():
            assert (other / name).read_bytes() == (pushed / name).read_bytes()
    assert run("touchstone", "verify", cwd=other).returncode == 0


def test_what_a_colleague_has_trained_is_taken_from_the_remote(store: Store, pushed: Path, tmp_path: Path) -> None:
    change(pushed)
    run("touchstone", "repro", STAGE, cwd=pushed)
    run("dvc", "push", "--run-cache", STAGE, cwd=pushed)
    other = clone(pushed, store, tmp_path / "clone")  # of the last commit, which has the earlier parameters
    run("dvc", "pull", "--run-cache", cwd=other)
    change(other)
    said = run("dvc", "repro", "--pull", STAGE, cwd=other).stdout
    assert f"Stage '{STAGE}' is cached - skipping run" in said
    assert entry(other) == entry(pushed)


def test_a_record_of_the_run_cache_without_its_data_is_run_again(store: Store, pushed: Path, tmp_path: Path) -> None:
    change(pushed)
    run("touchstone", "repro", STAGE, cwd=pushed)
    run("dvc", "push", "--run-cache", STAGE, cwd=pushed)
    hashes = [out["md5"] for out in entry(pushed)["outs"]]
    lost = [name for name in store.objects() if name.rpartition("/files/md5/")[2].replace("/", "") in hashes]
    assert len(lost) == len(hashes)
    for name in lost:
        store.client.delete_object(Bucket="study", Key=name)
    other = clone(pushed, store, tmp_path / "clone")
    run("dvc", "pull", "--run-cache", cwd=other)
    change(other)
    said = run("dvc", "repro", "--pull", STAGE, cwd=other).stdout
    assert f"Running stage '{STAGE}'" in said
    assert entry(other) == entry(pushed)

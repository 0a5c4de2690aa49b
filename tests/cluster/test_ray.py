"""`touchstone repro --on ray` on a Ray cluster of two nodes: the bytes of `dvc repro`, also where a node is lost."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from kit.pipeline import TINY, assert_same
from kit.project import ENVIRONMENT, project, run

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray", reason="no Ray: pip install 'touchstone[ray]'")
NODE = {"num_cpus": 2, "object_store_memory": 10**8}


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A cluster of a head that runs no stage, and two nodes."""
    from ray.cluster_utils import Cluster

    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}  # else stages yield to all others
    started = Cluster(initialize_head=True, head_node_args=NODE | {"num_cpus": 0})
    yield started
    started.shutdown()


def started(folder: Path, said: Path, copies: Path | None = None) -> "subprocess.Popen[bytes]":
    """The command, once it runs a stage on each node. copies: where the jobs' clones of the project lie."""
    copies = copies or folder / ".touchstone/repro/ray"
    with open(said, "w") as out:
        command = ["touchstone", "repro", "--on", "ray"]
        head = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=out, stderr=out)
    while len([*copies.glob("clones/*/dvc.lock"), *copies.glob("*/*/clones/*/dvc.lock")]) < 2:
        assert head.poll() is None, said.read_text()
        time.sleep(0.1)
    return head


def left_running(copies: Path) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cwd"]) if (p.info["cwd"] or "").startswith(str(copies))]


def test_a_lost_node_changes_no_byte(tiny: Path, cluster: Any, tmp_path: Path) -> None:
    nodes = [cluster.add_node(**NODE) for _ in range(2)]
    cluster.wait_for_nodes()
    folder = project(tmp_path / "project", *TINY, f"cluster={{cpus: 2, address: '{cluster.address}'}}")
    head = started(folder, tmp_path / "said")
    head.send_signal(signal.SIGINT)
    assert head.wait(timeout=120) == 1
    assert (tmp_path / "said").read_text().splitlines()[-1].endswith("interrupted; the same command goes on from here")
    assert not left_running(folder / ".touchstone/repro/ray")
    head = started(folder, tmp_path / "said")
    try:
        cluster.remove_node(nodes[1], allow_graceful=False)
        assert head.wait(timeout=900) == 0, (tmp_path / "said").read_text()
    finally:
        head.kill()
    assert_same(folder, tiny)
    assert not (folder / ".touchstone/repro/ray").exists()
    assert not left_running(folder / ".touchstone/repro/ray")


def remote(to: Path, folder: Path) -> Path:
    """A remote of DVC, which the project knows as `store`."""
    to.mkdir()
    run("dvc", "remote", "add", "--local", "store", to, cwd=folder)
    return to


def test_nodes_that_share_no_folder_give_the_same_bytes(tiny: Path, cluster: Any, tmp_path: Path) -> None:
    nodes = [cluster.add_node(**NODE) for _ in range(2)]
    cluster.wait_for_nodes()
    scratch, said = tmp_path / "scratch", tmp_path / "said"
    settings = f"cluster={{cpus: 2, address: '{cluster.address}', remote: store, scratch: '{scratch}'}}"
    folder = project(tmp_path / "project", *TINY, settings)
    store = remote(tmp_path / "store", folder)
    head = started(folder, said, scratch)
    head.send_signal(signal.SIGINT)
    assert head.wait(timeout=120) == 1
    assert said.read_text().splitlines()[-1].endswith("interrupted; the same command goes on from here")
    assert not left_running(scratch)
    head = started(folder, said, scratch)
    try:
        cluster.remove_node(nodes[1], allow_graceful=False)
        assert head.wait(timeout=1800) == 0, said.read_text()
    finally:
        head.kill()
    assert_same(folder, tiny)
    assert "Running stage" in (folder / ".touchstone/repro/logs/train@lenet-real.log").read_text()
    [home] = (scratch / f"touchstone-{os.getuid()}").iterdir()
    assert not list((home / "clones").iterdir())
    assert any((home / "cache/files/md5").iterdir())  # the nodes have a cache of their own

    # Another machine that knows the remote alone takes all results from there.
    shutil.rmtree(home)
    other = project(tmp_path / "other", *TINY, settings)
    run("dvc", "remote", "add", "--local", "store", store, cwd=other)
    run("touchstone", "repro", "--on", "ray", cwd=other)
    assert_same(other, tiny)
    logs = [file.read_text() for file in (other / ".touchstone/repro/logs").glob("*.log")]
    assert logs
    assert all("is cached - skipping run" in log for log in logs)


def test_without_an_address_it_starts_a_cluster_of_its_own(tiny_space: Path) -> None:
    file = tiny_space / "params.yaml"
    file.write_text(file.read_text().replace("rotate_deg: 10", "rotate_deg: 11"))
    done = run("touchstone", "repro", "--on", "ray", "transform", cwd=tiny_space)
    assert re.search(r"^\[1/1\] transform@tilt: [\d.]+ s$", done.stdout, re.MULTILINE), done.stdout
    assert run("dvc", "status", "transform", cwd=tiny_space).stdout == "Data and pipelines are up to date.\n"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("{gpus: 99}", r"--on ray: \S+ is to get 99 GPUs, .* the most that a node has is \d+, .* `cluster`"),
        ("{remote: stoer}", r"params\.yaml: cluster\.remote: no remote 'stoer' in DVC's configuration; .* none"),
        ("{address: '127.0.0.1:1'}", r"--on ray: no cluster at cluster\.address '127\.0\.0\.1:1': .*`ray status`"),
    ],
)
def test_what_a_cluster_cannot_do_is_one_line(tiny_space: Path, settings: str, said: str) -> None:
    file = tiny_space / "params.yaml"
    file.write_text(file.read_text().replace("rotate_deg: 10", "rotate_deg: 11") + f"cluster: {settings}\n")
    done = run("touchstone", "repro", "--on", "ray", "transform", cwd=tiny_space, check=False)
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert re.search(f"^error: {said}", line)

"""`touchstone repro --on ray` on a Ray cluster of two nodes: the bytes of `dvc repro`, also where a node is lost."""

import os
import re
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


def started(folder: Path, said: Path) -> "subprocess.Popen[bytes]":
    """The command, once it runs a stage on each node."""
    with open(said, "w") as out:
        command = ["touchstone", "repro", "--on", "ray"]
        head = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=out, stderr=out)
    while len(list((folder / ".touchstone/repro/ray/clones").glob("*/dvc.lock"))) < 2:
        assert head.poll() is None, said.read_text()
        time.sleep(0.1)
    return head


def left_running(folder: Path) -> list[psutil.Process]:
    copies = str(folder / ".touchstone/repro/ray")
    return [p for p in psutil.process_iter(["cwd"]) if (p.info["cwd"] or "").startswith(copies)]


def test_a_lost_node_changes_no_byte(tiny: Path, cluster: Any, tmp_path: Path) -> None:
    nodes = [cluster.add_node(**NODE) for _ in range(2)]
    cluster.wait_for_nodes()
    folder = project(tmp_path / "project", *TINY, f"cluster={{cpus: 2, address: '{cluster.address}'}}")
    head = started(folder, tmp_path / "said")
    head.send_signal(signal.SIGINT)
    assert head.wait(timeout=120) == 1
    assert (tmp_path / "said").read_text().splitlines()[-1].endswith("interrupted; the same command goes on from here")
    assert not left_running(folder)
    head = started(folder, tmp_path / "said")
    try:
        cluster.remove_node(nodes[1], allow_graceful=False)
        assert head.wait(timeout=900) == 0, (tmp_path / "said").read_text()
    finally:
        head.kill()
    assert_same(folder, tiny)
    assert not (folder / ".touchstone/repro/ray").exists()
    assert not left_running(folder)


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

"""The section `cluster` of params.yaml: its defaults, and what single stages get."""

from pathlib import Path

from touchstone.config.load import load_cluster
from touchstone.config.schema.cluster import Cluster, Resources

SECTION = """
cluster:
  gpus: 1
  memory_gb: 8
  stages:
    train: {gpus: 2, minutes: 30}
    find_lr: {gpus: 0}
"""


def test_without_the_section_the_defaults_hold(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("machine: {}\n")
    assert load_cluster(tmp_path / "params.yaml") == Cluster()


def test_a_stage_gets_its_own_figures_and_else_those_of_the_section(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(SECTION)
    cluster = load_cluster(tmp_path / "params.yaml")
    assert cluster.of("train@lenet-real") == Resources(gpus=2, memory_gb=8, minutes=30)
    assert cluster.of("find_lr@lenet") == Resources(gpus=0, memory_gb=8)
    assert cluster.of("evaluate") == Resources(gpus=1, memory_gb=8)

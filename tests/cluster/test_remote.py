"""Results that travel over a remote of DVC, which here is a folder: see cluster/transfer.py and cluster/remote.py."""

import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from kit.project import run
from touchstone.cluster import remote, transfer
from touchstone.cluster.engines import check_cluster
from touchstone.cluster.lock import locked
from touchstone.cluster.worker import run_stage
from touchstone.errors import TouchstoneError

GRAPH = """
stages:
  first:
    cmd: cp given.txt first.txt
    deps: [given.txt]
    outs: [first.txt]
  second:
    cmd: echo run >> runs.log && echo 2 | tee out.txt > score.json
    deps: [first.txt]
    outs: [out.txt]
    metrics: [{score.json: {cache: false}}]
"""


def machine(to: Path, store: Path) -> Path:
    """A clone of a project, with a cache of its own and the remote `store`."""
    to.mkdir()
    run("dvc", "init", "-q", "--no-scm", cwd=to)
    run("dvc", "remote", "add", "-q", "-d", "store", store, cwd=to)
    (to / "dvc.yaml").write_text(GRAPH)
    (to / "given.txt").write_text("[1]")
    (to / ".touchstone").mkdir()
    return to


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """The machine of the command, where the stage `first` is done and pushed."""
    folder = machine(tmp_path / "head", tmp_path / "store")
    run("dvc", "repro", "-q", "first", cwd=folder)
    repo = Repo(str(folder))
    transfer.push(repo, [stage for stage in repo.index.stages if stage.name == "first"])
    return folder


def ran(node: Path) -> bool:
    return (node / "runs.log").exists()


def run_on(node: Path, head: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the stage `second` on a node as its job does."""
    monkeypatch.chdir(node)
    return run_stage("second", {"first": dict(locked(head)["first"])}, {}, {}, over_remote=True)


def test_a_result_travels_with_its_metrics(head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = machine(tmp_path / "node", tmp_path / "store")
    entry = run_on(node, head, monkeypatch)
    assert ran(node)
    monkeypatch.chdir(head)
    transfer.fetch_result(Repo(), entry)
    run("dvc", "repro", "-q", cwd=head)
    assert not ran(head)
    assert (head / "out.txt").read_text() == (head / "score.json").read_text() == "2\n"


def test_a_result_that_the_remote_has_is_not_computed_again(
    head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = run_on(machine(tmp_path / "node", tmp_path / "store"), head, monkeypatch)
    other = machine(tmp_path / "other", tmp_path / "store")
    assert run_on(other, head, monkeypatch) == entry
    assert not ran(other)
    assert (other / "score.json").read_text() == "2\n"


def test_a_record_without_its_data_is_computed_again(
    head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = run_on(machine(tmp_path / "node", tmp_path / "store"), head, monkeypatch)
    kept = {out["md5"] for out in locked(head)["first"]["outs"]}
    for file in (tmp_path / "store/files/md5").glob("*/*"):
        if file.parent.name + file.name not in kept:
            file.unlink()
    other = machine(tmp_path / "other", tmp_path / "store")
    assert run_on(other, head, monkeypatch) == entry
    assert ran(other)


def test_what_a_remote_cannot_do_is_one_line(head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = machine(tmp_path / "node", tmp_path / "store")
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(TouchstoneError, match=r"^DVC's remote store: 1 of 1 files are not there$"):
        run_on(node, head, monkeypatch)
    (tmp_path / "store").write_text("in place of a folder")
    repo = Repo(str(head))
    with pytest.raises(TouchstoneError, match=r"^DVC's remote store: "):
        transfer.push(repo, [stage for stage in repo.index.stages if stage.name == "first"])


@pytest.mark.parametrize(
    ("name", "url", "why"),
    [
        ("stoer", "s3://b/c", r"no remote 'stoer' in DVC's configuration; did you mean store\?; .* shows: store$"),
        ("store", "https://example.org/x", "store is an HTTP remote, which holds no run-cache"),
    ],
)
def test_a_remote_that_cannot_serve(tmp_path: Path, name: str, url: str, why: str) -> None:
    folder = machine(tmp_path / "head", tmp_path / "store")
    run("dvc", "remote", "modify", "store", "url", url, cwd=folder)
    with pytest.raises(TouchstoneError, match=rf"^params\.yaml: cluster\.remote: {why}"):
        remote.options_of(Repo(str(folder)), name)


def test_credentials_travel(tmp_path: Path) -> None:
    folder = machine(tmp_path / "head", tmp_path / "store")
    run("dvc", "remote", "add", "-q", "bucket", "s3://b/c", cwd=folder)
    run("dvc", "remote", "modify", "--local", "bucket", "secret_access_key", "a, 'b' #c", cwd=folder)
    found = remote.options_of(Repo(str(folder)), "bucket")
    assert found["url"] == "s3://b/c"
    assert found["secret_access_key"] == "a, 'b' #c"


@pytest.mark.parametrize(
    ("engine", "more", "who"),
    [("slurm", "", "jobs of Slurm"), ("ray", ", seeds: apart", "the seeds of `seeds: apart`")],
)
def test_what_needs_a_shared_folder(tmp_path: Path, engine: str, more: str, who: str) -> None:
    (tmp_path / "params.yaml").write_text(f"cluster: {{remote: store{more}}}\n")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    with pytest.raises(TouchstoneError, match=rf"cluster\.remote: {who} meet in a folder"):
        check_cluster(engine, tmp_path, tmp_path)


def test_clones_with_credentials_are_closed_to_others(tmp_path: Path) -> None:
    folder = remote._own_folder(tmp_path / "scratch")
    folder.chmod(0o755)
    assert remote._own_folder(tmp_path / "scratch") == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700

"""Results that travel over a remote of DVC, which here is a folder: see cluster/transfer.py and cluster/remote.py."""

import io
import shutil
import stat
import sys
import tarfile
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
from touchstone.studies.commands import write_config

SECRET = "a, 'b' #c"
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


CONFIG = """
[core]
    no_scm = true
    remote = store
['remote "store"']
    url = {}
"""


def machine(to: Path, store: Path | str, more: str = "") -> Path:
    """A clone of a project, with a cache of its own and the remote `store`. more: of DVC's configuration."""
    for folder in (".dvc/tmp", ".touchstone"):
        (to / folder).mkdir(parents=True)
    (to / ".dvc/config").write_text(CONFIG.format(store) + more)
    (to / "dvc.yaml").write_text(GRAPH)
    (to / "given.txt").write_text("[1]")
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


VERSIONS = """
['remote "versions"']
    url = s3://b/c
    version_aware = true
"""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("web", r"no remote 'web' in DVC's configuration; `dvc remote list` shows: store, versions$"),
        ("stoer", r"no remote 'stoer' in DVC's configuration; did you mean store\?; .*$"),
        ("store", "store is an HTTP remote, which holds no run-cache"),
        ("versions", "versions is a remote of versions, which holds no run-cache"),
    ],
)
def test_a_remote_that_cannot_serve(tmp_path: Path, name: str, why: str) -> None:
    folder = machine(tmp_path / "head", "https://example.org/x", VERSIONS)
    with pytest.raises(TouchstoneError, match=rf"^params\.yaml: cluster\.remote: {why}"):
        remote.options_of(Repo(str(folder)), name)


def test_credentials_travel_and_a_remote_that_builds_on_another(tmp_path: Path) -> None:
    folder = machine(tmp_path / "head", tmp_path / "store", "['remote \"part\"']\n    url = remote://store/part\n")
    bucket = {"url": "s3://b/c", "secret_access_key": SECRET}
    write_config(folder, cache=tmp_path / "cache", sections={'remote "bucket"': bucket})
    assert stat.S_IMODE((folder / ".dvc/config.local").stat().st_mode) == 0o600
    repo = Repo(str(folder))
    assert bucket.items() <= remote.options_of(repo, "bucket").items()
    assert remote.options_of(repo, "part")["url"] == str(tmp_path / "store/part")


def test_a_copy_finds_a_remote_whose_path_is_relative(tmp_path: Path) -> None:
    folder = machine(tmp_path / "project", "../../store")
    write_config(tmp_path / "deep/down/copy", cache=tmp_path / "cache", base=folder)
    (tmp_path / "deep/down/copy/.dvc/config").write_text((folder / ".dvc/config").read_text())
    assert Repo(str(tmp_path / "deep/down/copy")).config["remote"]["store"]["url"] == str(tmp_path / "store")


def test_what_the_head_has_computed_is_not_computed_again(
    head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(head)
    run("dvc", "repro", "-q", cwd=head)
    before = dict(locked(head)["second"])
    assert transfer.has_result(Repo(), before)
    transfer.send_result(Repo(), before)
    node = machine(tmp_path / "node", tmp_path / "store")
    assert run_on(node, head, monkeypatch) == before
    assert not ran(node)


def test_of_two_results_the_one_that_the_job_has_is_taken(
    head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a lost node ends after all, on another processor."""
    nodes = [machine(tmp_path / name, tmp_path / "store") for name in ("one", "two")]
    for node, number in zip(nodes, (2, 3), strict=True):
        (node / "dvc.yaml").write_text(GRAPH.replace("echo 2", "cat number"))
        (node / "number").write_text(str(number))
    (head / "dvc.yaml").write_text((nodes[0] / "dvc.yaml").read_text())
    entries = []
    for node in nodes:  # the second looks for a result before the first has sent one
        with monkeypatch.context() as patch:
            patch.setattr(transfer, "take_result", lambda *_: None)
            entries.append(run_on(node, head, monkeypatch))
    assert entries[0] != entries[1]
    monkeypatch.chdir(head)
    transfer.fetch_result(Repo(), entries[0])
    run("dvc", "repro", "-q", cwd=head)
    assert not ran(head)
    assert (head / "score.json").read_text() == "2"


def test_a_stage_that_has_its_outputs_already_sends_them(
    head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = run_on(machine(tmp_path / "node", tmp_path / "store"), head, monkeypatch)
    other = machine(tmp_path / "other", tmp_path / "store")
    monkeypatch.chdir(other)
    transfer.fetch(Repo(), [transfer._recorded(Repo(), entry)])  # as an input of another stage
    inputs = {"first": dict(locked(head)["first"])}
    assert run_stage("second", inputs, entry, {}, over_remote=True) == entry
    assert not ran(other)


def test_a_stage_without_a_result_in_the_run_cache_is_one_line(
    head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = machine(tmp_path / "node", tmp_path / "store")
    (node / "dvc.yaml").write_text(GRAPH + "    always_changed: true\n")
    with pytest.raises(TouchstoneError, match=r"^DVC's run-cache keeps no result of this stage"):
        run_on(node, head, monkeypatch)


def test_raw_images_stay_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = machine(tmp_path / "head", tmp_path / "store")
    (folder / "dvc.yaml").write_text(
        """
stages:
  download: {cmd: a, outs: [{raw: {persist: true}}]}
  prepare: {cmd: a, deps: [raw/images], outs: [{prepared: {persist: true}}]}
  train: {cmd: a, deps: [prepared/table.csv], outs: [run]}
"""
    )
    monkeypatch.chdir(folder)
    assert transfer.staying({stage.addressing: stage for stage in Repo().index.stages}) == {"download"}


def test_a_link_travels_as_its_content(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_text("far away")
    (tmp_path / "project").mkdir()
    (tmp_path / "project/weights.pt").symlink_to(tmp_path / "weights.pt")
    with tarfile.open(fileobj=io.BytesIO(remote.packed(tmp_path / "project", ["weights.pt"]))) as archive:
        archive.extractall(tmp_path / "node", filter="data")
    assert (tmp_path / "node/weights.pt").read_text() == "far away"


def test_a_library_that_is_missing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = machine(tmp_path / "head", "gdrive://x/y")
    monkeypatch.setitem(sys.modules, "dvc_gdrive", None)
    with pytest.raises(TouchstoneError, match=r"^params\.yaml: cluster\.remote: store: .*dvc-gdrive"):
        remote.check_remote(folder, "store")


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

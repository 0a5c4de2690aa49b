"""dvc.lock under `touchstone repro`: what cut it off, and what may be in it without having been cut off."""

from pathlib import Path

import pytest
from dvc.repo import Repo

from kit.project import run
from touchstone.cluster.lock import repaired

GRAPH = """
stages:
  one: {cmd: echo 1 > one.txt, outs: [one.txt]}
  two: {cmd: cp one.txt two.txt, deps: [one.txt], outs: [two.txt]}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of two stages that have run."""
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    run("git", "init", "-q", cwd=tmp_path)
    Repo.init(str(tmp_path))
    run("dvc", "repro", "-q", cwd=tmp_path)
    (tmp_path / "kept").mkdir()
    return tmp_path


@pytest.mark.parametrize("share", [0, 0.3, 0.9])
def test_one_that_an_interruption_cut_off_is_taken_back_at_once(root: Path, share: float) -> None:
    lock, kept = root / "dvc.lock", root / "kept/dvc.lock"
    whole = lock.read_bytes()

    def cut_off() -> None:
        with repaired(root, kept):
            lock.write_bytes(whole[: int(share * len(whole))])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    assert lock.read_bytes() == whole
    assert not kept.exists()


def test_one_that_grew_before_an_error_stays(root: Path) -> None:
    lock, kept = root / "dvc.lock", root / "kept/dvc.lock"
    whole = lock.read_text()
    lock.write_text(whole[: whole.index("  two:")])

    def grow() -> None:
        with repaired(root, kept):
            lock.write_text(whole)
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        grow()
    assert lock.read_text() == whole


@pytest.mark.parametrize("how", ["checked out", "stage removed"])
def test_one_with_fewer_entries_that_nothing_cut_off_stays(root: Path, how: str) -> None:
    lock, kept = root / "dvc.lock", root / "kept/dvc.lock"
    kept.write_bytes(lock.read_bytes())  # of a command that was killed
    text = lock.read_text()
    lock.write_text(text[: text.index("  two:")])
    if how == "checked out":
        run("git", "add", "dvc.lock", cwd=root)
        run("git", "commit", "-q", "-m", "fewer", cwd=root)
    else:
        (root / "dvc.yaml").write_text(GRAPH[: GRAPH.index("  two:")])
    before = lock.read_bytes()
    with repaired(root, kept):
        pass
    assert lock.read_bytes() == before


def test_a_graph_with_a_mistake_cuts_nothing_off(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = root / "dvc.lock"
    before = lock.read_bytes()
    (root / "dvc.yaml").write_text("stages: 3\n")

    def fail() -> None:
        with repaired(root, root / "kept/dvc.lock"):
            raise OSError("whatever")

    with pytest.raises(OSError, match="whatever"):
        fail()
    assert lock.read_bytes() == before
    assert "cut off" not in capsys.readouterr().out

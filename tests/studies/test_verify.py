"""Outputs compared with dvc.lock, with a real DVC: what DVC itself does not notice is named."""

import os
import re
import shutil
from pathlib import Path

import pytest

from kit.project import run
from touchstone.errors import TouchstoneError
from touchstone.studies.verify import ADDED, DAMAGED, MISSING, Fault, verify

STAGES = """
stages:
  make:
    cmd: mkdir -p out/deep && echo 1 > out/deep/a.txt && echo 2 > out/deep-b.txt && echo 3 > "out/é.txt" && echo 4 > one
    outs:
    - out
    - one
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("verify")
    run("git", "init", "-q", cwd=root)
    run("dvc", "init", "-q", cwd=root)
    run("dvc", "config", "cache.type", "copy", cwd=root)
    (root / "dvc.yaml").write_text(STAGES)
    run("dvc", "repro", cwd=root)
    return root


@pytest.fixture
def space(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "space"))


def cache(space: Path) -> Path:
    return space / ".dvc/cache"


def flip(file: Path) -> None:
    """Change a byte but neither size nor time: `dvc status` does not see it."""
    before = file.stat()
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_intact_outputs_are_counted(space: Path) -> None:
    found = verify(space, cache(space))
    assert (found.num_outs, found.num_files, found.num_bytes, found.faults) == (2, 4, 8, ())
    assert "2 outputs, 4 files, 0.0 MB: all as in dvc.lock" in run("touchstone", "verify", cwd=space).stdout


def test_damaged_missing_and_added_files_are_named(space: Path) -> None:
    flip(space / "out/deep/a.txt")
    (space / "out/é.txt").unlink()
    (space / "out/new.txt").write_text("x")
    flip(space / "one")
    assert set(verify(space, cache(space)).faults) == {
        Fault(space / "out/deep/a.txt", "make", DAMAGED),
        Fault(space / "out/é.txt", "make", MISSING),
        Fault(space / "out/new.txt", "make", ADDED),
        Fault(space / "one", "make", DAMAGED),
    }
    done = run("touchstone", "verify", cwd=space, check=False)
    assert done.returncode == 1
    assert "damaged: out/deep/a.txt (output of make)" in done.stdout
    assert done.stderr.startswith("error: 4 faults in 2 outputs, 4 files")


def test_without_the_cache_a_folder_is_named_as_a_whole(space: Path) -> None:
    shutil.rmtree(cache(space))
    assert not verify(space, cache(space)).faults
    flip(space / "out/deep/a.txt")
    shutil.rmtree(space / "one", ignore_errors=True)
    (space / "one").unlink()
    expected = {Fault(space / "out", "make", DAMAGED), Fault(space / "one", "make", MISSING)}
    assert set(verify(space, cache(space)).faults) == expected
    shutil.rmtree(space / "out")
    assert Fault(space / "out", "make", MISSING) in verify(space, cache(space)).faults


def test_a_damaged_list_in_the_cache_is_not_trusted(space: Path) -> None:
    for listed in cache(space).rglob("*.dir"):
        listed.chmod(0o644)
        listed.write_text(listed.read_text().replace("deep-b", "deep-c"))
    flip(space / "out/deep/a.txt")
    assert verify(space, cache(space)).faults == (Fault(space / "out", "make", DAMAGED),)


@pytest.mark.parametrize("text", [None, "stages: [", "stages: {make: {outs: [{path: one}]}}", "- 1"])
def test_an_unreadable_lock_is_one_line(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "dvc.lock").write_text(text)
    said = "there is no dvc.lock here: nothing has run yet" if text is None else "dvc.lock: not readable"
    with pytest.raises(TouchstoneError, match=re.escape(said)):
        verify(tmp_path, tmp_path)


def test_what_no_stage_makes_is_named_and_is_no_fault(space: Path) -> None:
    """Outputs that dvc.lock lists for a stage that is gone, and whatever lies beside those of a matrix."""
    matrix = "  train:\n    matrix: {arm: [a]}\n    cmd: mkdir -p runs/deep && echo 5 > runs/a\n    outs: [runs/a]\n"
    gone = "  gone:\n    cmd: mkdir -p old && echo 6 > old/one\n    outs: [old/one]\n"
    (space / "dvc.yaml").write_text(STAGES + matrix + gone)
    run("dvc", "repro", cwd=space)
    assert verify(space, cache(space)).leftovers == (Path("runs/deep"),)
    (space / "dvc.yaml").write_text(STAGES + matrix)
    (space / ".touchstone").mkdir()
    (space / ".touchstone/outputs.json").write_text('["out/deep", "here", "absent"]')
    (space / "here").write_text("")
    found = verify(space, cache(space))
    assert found.leftovers == (Path("here"), Path("old/one"), Path("runs/deep")), "a part of an output is none"
    assert (found.num_outs, found.faults) == (3, ())
    assert "leftover: old/one (no stage makes it" in run("touchstone", "verify", cwd=space).stdout


def test_a_graph_that_dvc_cannot_load_is_one_line(space: Path) -> None:
    (space / "dvc.yaml").write_text("<<<<<<< HEAD\n" + STAGES)
    done = run("touchstone", "verify", cwd=space, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1

"""Train stages side by side, with a stand-in for dvc that notes when it ran and is busy the first time."""

import os
import stat
import time
from pathlib import Path

import pytest

from touchstone.errors import TouchstoneError
from touchstone.studies.parallel import train_runs, visible_gpus

FAKE = """#!/bin/sh
case "$*" in "repro augment nets pretrained find_lr") exit 0;; esac
run=${3#train@}
if [ "$run" = broken ]; then echo "no good"; exit 1; fi
if [ "$run" = busy ] && [ ! -e tried ]; then touch tried; echo "ERROR: lock is busy"; exit 1; fi
echo "start $run gpu $CUDA_VISIBLE_DEVICES keep $TOUCHSTONE_KEEP_TRAINED" >> log
sleep 0.4
echo "end $run" >> log
echo "trained $run"
if [ "$run" = talker ] || [ "$run" = gossip ]; then seq -f "$run says %g" 2000; fi
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "bin/dvc"
    file.parent.mkdir()
    file.write_text(FAKE)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{file.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_as_many_at_a_time_as_there_are_jobs_each_on_its_gpu(fake: Path, capfd) -> None:
    train_runs(["a", "b", "c"], jobs=2, gpus=["3", "5"])
    log = (fake / "log").read_text().splitlines()
    assert sorted(line.split()[:2] for line in log[:2]) == [["start", "a"], ["start", "b"]]
    assert {line.split()[3] for line in log[:2]} == {"3", "5"}
    assert all(line.endswith("keep 1") for line in log if line.startswith("start"))
    assert "a: trained a" in capfd.readouterr().out.splitlines()


def test_lines_of_runs_side_by_side_stay_whole(fake: Path, capfd) -> None:
    train_runs(["talker", "gossip"], jobs=2, gpus=[])
    lines = capfd.readouterr().out.splitlines()
    expected = [f"{run}: {run} says {i}" for run in ("talker", "gossip") for i in range(1, 2001)]
    assert sorted(line for line in lines if "says" in line) == sorted(expected)


def test_a_busy_dvc_is_asked_again_and_one_failure_stops_no_other(fake: Path) -> None:
    began = time.monotonic()
    with pytest.raises(TouchstoneError, match="failed: broken"):
        train_runs(["broken", "busy", "a"], jobs=3, gpus=[])
    assert time.monotonic() - began > 1.0
    assert {line.split()[1] for line in (fake / "log").read_text().splitlines()} == {"busy", "a"}


def test_the_devices_that_the_user_allows_are_the_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert visible_gpus() == ["2", "3"]

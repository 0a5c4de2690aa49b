"""Train stages side by side, with a stand-in for DVC that logs its runs and can be busy the first time."""

import stat
import time
from pathlib import Path

import pytest
import yaml

from kit.project import ROOT
from touchstone.errors import TouchstoneError
from touchstone.studies import commands
from touchstone.studies.parallel import NEEDED, train_runs, visible_gpus

FAKE = """#!/bin/sh
case "$*" in "repro augment pretrained find_lr") exit 0;; esac
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
    file = tmp_path / "dvc"
    file.write_text(FAKE)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(commands, "DVC", (str(file),))
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


def test_a_busy_dvc_is_tried_again_and_a_failure_stops_no_other_run(fake: Path) -> None:
    began = time.monotonic()
    with pytest.raises(TouchstoneError, match="failed: broken"):
        train_runs(["broken", "busy", "a"], jobs=3, gpus=[])
    assert time.monotonic() - began > 1.0
    assert {line.split()[1] for line in (fake / "log").read_text().splitlines()} == {"busy", "a"}


def test_visible_gpus_are_those_that_the_user_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert visible_gpus() == ["2", "3"]


def test_the_stages_run_before_training_make_all_that_it_reads() -> None:
    """Train stages run alone (-s): all that they read comes from NEEDED and the stages before those."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    outs = {name: _paths(stage, "outs") + _paths(stage, "plots") for name, stage in stages.items()}
    made, todo = set[str](), list(NEEDED)
    while todo:
        name = todo.pop()
        made |= {name}
        todo += [other for other in stages if other not in made and _reads(stages[name], outs[other])]
    for path in stages["train"]["deps"]:
        assert any(path == out or path.startswith(f"{out}/") for name in made for out in outs[name]), path


def _paths(stage: dict, kind: str) -> list[str]:
    listed = stage.get("do", stage).get(kind, [])
    return [path for out in listed for path in (out if isinstance(out, dict) else [out])]


def _reads(stage: dict, outs: list[str]) -> bool:
    """Whether the stage depends on one of these outputs, on something in it, or on the folder that holds it."""
    pairs = [(dep, out) for dep in _paths(stage, "deps") for out in outs]
    return any(f"{dep}/".startswith(f"{out}/") or f"{out}/".startswith(f"{dep}/") for dep, out in pairs)

"""`touchstone repro` on the tiny pipeline: the bytes of `dvc repro`, whatever fails or is killed on the way."""

import fcntl
import os
import random
import re
import signal
import time
from pathlib import Path

import psutil
import pytest

from kit.pipeline import TINY, reset, start
from kit.project import project, run
from touchstone.config import yaml
from touchstone.data import findings

OF_OTHERS = "metrics/report.html, metrics/report.md, metrics/verdict.html are of other parameters, code or data"
DEADLY = """
    import psutil, time

    parents = [" ".join(p.cmdline()) for p in psutil.Process().parents()]
    print("last words", "forked" if any("touchstone.cluster.warm" in line for line in parents) else "", flush=True)
    next(p for p in psutil.Process().parents() if "touchstone.cluster.worker" in p.cmdline()).kill()
    time.sleep(60)
"""


def change(folder: Path, *changes: str) -> None:
    file = folder / "params.yaml"
    file.write_text(yaml.changed(file.read_text(), list(changes)))


def test_it_gives_the_lock_of_dvc_repro(tiny_space: Path) -> None:
    lock = (tiny_space / "dvc.lock").read_bytes()
    for name in ("data/runs", "data/probs", ".dvc/cache/runs"):  # nothing left to take from DVC's run-cache
        run("rm", "-rf", name, cwd=tiny_space)
    done = run("touchstone", "repro", "--jobs", "2", cwd=tiny_space)
    assert re.search(r"train@simple-fixed: [\d.]+ s", done.stdout)
    assert (tiny_space / "dvc.lock").read_bytes() == lock
    assert run("dvc", "status", cwd=tiny_space).stdout == "Data and pipelines are up to date.\n"
    first, *told = run("touchstone", "repro", cwd=tiny_space).stdout.splitlines()
    assert first == "Everything is up to date."
    texts = [finding.text for finding in findings.read(tiny_space / "data/prepared/findings/warnings.csv")]
    assert told == [f"images: {text}" for text in texts]
    assert any("near copies" in text for text in texts), "told again although nothing ran"
    for report in ("report.html", "report.md"):
        assert all(text in (tiny_space / "metrics" / report).read_text() for text in texts if "'" not in text)


@pytest.mark.slow
def test_seeds_as_jobs_of_their_own_give_the_lock_of_dvc_repro(tiny_space: Path) -> None:
    stages, logs = ("train@simple-real", "train@simple-fixed"), tiny_space / ".touchstone/repro/logs"
    change(tiny_space, "+cluster.seeds=apart", "models.simple.lr=0.003")
    done = run("touchstone", "repro", "--jobs", "2", *stages, cwd=tiny_space)
    ended = [line.partition("] ")[2].partition(":")[0] for line in done.stdout.splitlines() if line.startswith("[")]
    for stage in stages:
        parts = [name for name in ended[: ended.index(stage)] if name.startswith(f"{stage}~")]
        assert parts == [f"{stage}~0", f"{stage}~1"] or parts == [f"{stage}~1", f"{stage}~0"]
        assert (logs / f"{stage}.log").read_text().count("trained before") == 2, "the stage gathers its seeds"
        assert "trained before" not in (logs / f"{parts[0]}.log").read_text()
    assert run("touchstone", "repro", *stages, cwd=tiny_space).stdout.startswith("Everything is up to date.")
    lock = (tiny_space / "dvc.lock").read_bytes()

    reset(tiny_space)
    for name in (".dvc/cache/runs", ".touchstone"):
        run("rm", "-rf", name, cwd=tiny_space)
    change(tiny_space, "models.simple.lr=0.003")
    run("dvc", "repro", *stages, cwd=tiny_space)
    assert (tiny_space / "dvc.lock").read_bytes() == lock


@pytest.mark.slow
def test_entries_of_the_lock_stand_where_dvc_repro_puts_them(tiny_space: Path) -> None:
    lock = tiny_space / "dvc.lock"
    text = lock.read_text()
    head, *entries = re.split(r"^(?=  \S)", text, flags=re.MULTILINE)
    lock.write_text(head + "".join(reversed(entries)))
    change(tiny_space, "report.worst=5")
    said = run("touchstone", "repro", cwd=tiny_space).stdout.splitlines()
    assert [line for line in said if line.startswith(OF_OTHERS)] == said[:1], "it ended, so they are not any more"
    *_, answer, where = said
    assert where == "metrics/report.html says more."
    assert answer in (tiny_space / "metrics/report.md").read_text().replace("*", "").replace("\\", "")
    names = re.compile(r"^  (\S+):$", re.MULTILINE)
    assert names.findall(lock.read_text()) == names.findall(text)


def test_a_stage_that_fails_is_named_and_the_others_end(tiny_space: Path) -> None:
    change(tiny_space, "models.simple.lr=1000000.0", "transforms.tilt.rotate_deg=11", "train.on_divergence=fail")
    done = run("touchstone", "repro", "--jobs", "2", "train@simple-real", "transform", cwd=tiny_space, check=False)
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert re.search(r"train@simple-real: .*lr.*; its log: \.touchstone/repro/logs/train@simple-real\.log$", line)
    assert run("dvc", "status", "transform", cwd=tiny_space).stdout.count("changed") == 0
    said = done.stdout.splitlines()
    assert [line for line in said if line.startswith(OF_OTHERS)] == [said[0], said[-1]]


@pytest.mark.parametrize(
    ("right", "typed", "said"),
    [
        ("split_seed", "split_sed", r"data\.split_sed: unknown key .*; did you mean split_seed\?"),
        ("train", "trian", r"trian: unknown key .*; did you mean train\?"),  # a section that DVC itself would miss
        ("arms", "amrs", r"amrs: unknown key .*; did you mean arms\?"),
    ],
)
def test_a_mistake_in_params_is_one_line(tiny_space: Path, right: str, typed: str, said: str) -> None:
    file = tiny_space / "params.yaml"
    file.write_text(re.sub(rf"^( *){right}:", rf"\1{typed}:", file.read_text(), flags=re.MULTILINE))
    done = run("touchstone", "repro", cwd=tiny_space, check=False)
    assert done.returncode == 1
    assert re.fullmatch(rf"error: params\.yaml: {said}.*\n", done.stdout + done.stderr)


def test_uncommitted_changes_are_what_runs(tiny_space: Path) -> None:
    file = tiny_space / "stages/filters.py"
    file.write_text(file.read_text() + '    import sys\n\n    sys.stdout.write("my change\\n")\n')
    (tiny_space / "data/filters/gan.json").unlink()
    run("rm", "-rf", ".dvc/cache/runs", cwd=tiny_space)
    run("touchstone", "repro", "filters", cwd=tiny_space)
    assert "my change" in (tiny_space / ".touchstone/repro/logs/filters.log").read_text()


@pytest.mark.slow
def test_without_a_run_cache_only_what_changed_runs(tiny_space: Path) -> None:
    file = tiny_space / "stages/filters.py"
    file.write_text(file.read_text() + '    import sys\n\n    sys.stdout.write("my change\\n")\n')
    for name in (".dvc/cache/runs", "data/sampled", ".touchstone/repro/logs"):
        run("rm", "-rf", name, cwd=tiny_space)
    run("touchstone", "repro", "--jobs", "2", cwd=tiny_space)
    logs = {file.stem: file.read_text() for file in (tiny_space / ".touchstone/repro/logs").iterdir()}
    assert "train@simple-real" in logs
    assert {name for name, log in logs.items() if "Running stage" in log} == {"filters"}
    assert run("dvc", "status", cwd=tiny_space).stdout == "Data and pipelines are up to date.\n"


def test_in_a_fresh_clone_with_a_lock_and_no_cache_everything_runs(tiny_space: Path, tmp_path: Path) -> None:
    run("git", "clone", "-q", tiny_space, tmp_path / "clone", cwd=tmp_path)
    run("touchstone", "repro", "--jobs", "2", "transform", cwd=tmp_path / "clone")
    status = run("dvc", "status", "transform", cwd=tmp_path / "clone").stdout
    assert status == "Data and pipelines are up to date.\n"


def test_a_worker_that_dies_is_named_and_nothing_is_left_running(tiny_space: Path) -> None:
    file = tiny_space / "stages/filters.py"
    file.write_text(file.read_text() + DEADLY)
    done = run("touchstone", "repro", "filters", cwd=tiny_space, check=False)
    assert done.returncode == 1
    assert "error: filters: its worker ended with -9; its log: .touchstone/repro/logs/filters.log" in done.stderr
    assert "last words forked" in (tiny_space / ".touchstone/repro/logs/filters.log").read_text()
    copies = tiny_space / ".touchstone/repro/copies"
    assert not [p for p in psutil.process_iter(["cwd"]) if (p.info["cwd"] or "").startswith(str(copies))]
    assert not copies.exists()


def test_a_lock_that_a_kill_cut_off_is_taken_back(tiny_space: Path) -> None:
    lock, kept = tiny_space / "dvc.lock", tiny_space / ".touchstone/repro/dvc.lock"
    whole = lock.read_bytes()
    for left in (b"", whole[: len(whole) // 2], whole[:20]):
        lock.write_bytes(left)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(whole)
        done = run("touchstone", "repro", "transform", cwd=tiny_space)
        assert done.stdout.startswith("dvc.lock was cut off: going on from what it was before")
        assert lock.read_bytes() == whole
        assert not kept.exists()
    lock.write_bytes(b"<<<<<<< HEAD\n")
    assert "dvc.lock" in run("touchstone", "repro", cwd=tiny_space, check=False).stderr, "no kill: the user's to mend"


@pytest.mark.parametrize(("jobs", "said"), [("0", "--jobs 0: expected at least 1"), ("x", "invalid int value: 'x'")])
def test_bad_numbers_of_jobs_are_one_line(tmp_path: Path, jobs: str, said: str) -> None:
    done = run("touchstone", "repro", "--jobs", jobs, cwd=tmp_path, check=False)
    assert done.returncode != 0
    assert said in done.stderr.splitlines()[-1]


def test_a_second_one_in_the_same_folder_is_refused(tiny_space: Path) -> None:
    (tiny_space / ".touchstone/repro").mkdir(parents=True, exist_ok=True)
    with open(tiny_space / ".touchstone/repro/lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = run("touchstone", "repro", cwd=tiny_space, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: another `touchstone repro` is running in this folder")


def test_without_a_project_it_is_one_line(tmp_path: Path) -> None:
    done = run("touchstone", "repro", cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_twenty_kills_change_no_byte(tiny_space: Path, tmp_path: Path) -> None:
    lock = (tiny_space / "dvc.lock").read_bytes()
    folder = project(tmp_path / "project", *TINY)
    draws = random.Random(0)
    kills = 0
    while kills < 20:
        process = start(folder, "touchstone", "repro", "--jobs", "2")
        time.sleep(draws.uniform(1, 12))
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    run("touchstone", "repro", "--jobs", "2", cwd=folder)
    assert kills > 3
    assert (folder / "dvc.lock").read_bytes() == lock
    assert run("dvc", "status", cwd=folder).stdout == "Data and pipelines are up to date.\n"

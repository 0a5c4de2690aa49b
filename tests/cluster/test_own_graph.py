"""`touchstone repro` on a graph of one's own: what runs in copies, what stays, and files that are edited meanwhile."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo

from kit.project import ENVIRONMENT, ROOT, run
from touchstone.config.graph import read_stages

SETTINGS = """
import json, pathlib, yaml
folder = pathlib.Path("data/settings")
folder.mkdir(parents=True, exist_ok=True)
(folder / "all.json").write_text(json.dumps(yaml.safe_load(open("params.yaml"))["seed"]))
"""
GRAPH = """
stages:
  settings:
    cmd: python stages/settings.py
    deps: [stages]
    params: [seed]
    outs: [{data/settings: {persist: true}}]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with valid settings, to which tests add stages. Each notes in runs.txt that it ran."""
    folder = tmp_path / "a project of mine"
    (folder / "stages").mkdir(parents=True)
    (folder / "stages/settings.py").write_text(SETTINGS)
    shutil.copy(ROOT / "recipes/digits/params.yaml", folder)
    (folder / ".gitignore").write_text("/runs.txt\n/.touchstone/\n/metrics/runtime/\n/ignored.txt\n")
    run("git", "init", "-q", cwd=folder)
    Repo.init(str(folder))
    return folder


def write(root: Path, stages: str) -> None:
    note = f"echo NAME >> '{root}/runs.txt'"
    lines = stages.replace("ROOT", str(root)).splitlines(True)
    (root / "dvc.yaml").write_text(
        GRAPH + "".join(line.replace("NOTE", note.replace("NAME", line.split(":")[0].strip())) for line in lines)
    )


def repro(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return run("touchstone", "repro", *arguments, cwd=root, check=False)


def runs(root: Path) -> list[str]:
    return sorted((root / "runs.txt").read_text().split())


def test_what_is_edited_while_stages_run_is_left_to_the_next_command(root: Path) -> None:
    write(
        root,
        """
  one: {cmd: "NOTE; cp data/settings/all.json one.txt; sed -i 's/^seed: 0/seed: 1/' 'ROOT/params.yaml'",
        deps: [data/settings/all.json], outs: [one.txt]}
  two: {cmd: "NOTE; cp one.txt two.txt", deps: [one.txt], outs: [two.txt]}
""",
    )
    done = repro(root)
    assert done.returncode == 1
    assert done.stderr == (
        "error: params.yaml or a file that stages read has changed while the stages ran; their results are kept: run "
        "the same command again\n"
    )
    assert runs(root) == ["one", "two"], "each once, by the settings that the command began with"
    assert (root / "two.txt").read_text() == "0"
    assert {"one", "two"} <= read_stages(root / "dvc.lock").keys()
    assert repro(root).returncode == 0
    assert (root / "two.txt").read_text() == "1"
    assert repro(root).stdout == "Everything is up to date.\n"


def test_stages_that_copies_cannot_run_run_here_and_once(root: Path) -> None:
    write(
        root,
        """
  made: {cmd: "NOTE; echo 1 > made.txt; echo 2 > metric.json", outs: [made.txt],
         metrics: [{metric.json: {cache: false}}]}
  read: {cmd: "NOTE; cat metric.json > read.txt", deps: [metric.json], outs: [read.txt]}
  hidden: {cmd: "NOTE; cat ignored.txt > hidden.txt", deps: [ignored.txt], outs: [hidden.txt]}
  tracked: {cmd: "NOTE; cat big.bin > tracked.txt", deps: [big.bin], outs: [tracked.txt]}
  check: {cmd: "NOTE; test -f made.txt", deps: [made.txt]}
  always: {cmd: "NOTE; echo 3 > always.txt", always_changed: true, outs: [always.txt]}
  after: {cmd: "NOTE; cat always.txt > after.txt", deps: [always.txt], outs: [after.txt]}
""",
    )
    (root / "ignored.txt").write_text("mine\n")
    (root / "big.bin").write_text("tracked by DVC\n")
    run("dvc", "add", "-q", "big.bin", cwd=root)
    done = repro(root)
    assert done.returncode == 0, done.stderr
    assert runs(root) == sorted(["made", "read", "hidden", "tracked", "check", "always", "after"])
    assert (root / "read.txt").read_text() == "2\n"


def test_a_note_on_the_cost_of_a_stage_is_of_the_run_that_made_its_outputs(root: Path) -> None:
    write(
        root,
        """
  one: {cmd: "NOTE; mkdir -p metrics/runtime; cp data/settings/all.json one.txt; for name in one one~1; do
        echo '{\\"seed\\": '$(cat one.txt)'}' > metrics/runtime/$name.json; done",
        deps: [data/settings/all.json], outs: [one.txt]}
""",
    )
    notes, params = root / "metrics/runtime", (root / "params.yaml").read_text()
    for seed, ran in ((0, 1), (0, 1), (1, 2), (0, 2), (2, 3)):
        (root / "params.yaml").write_text(re.sub("^seed: 0", f"seed: {seed}", params, flags=re.M))
        if ran == 1 and notes.exists():  # as after a kill: the outputs are in the run-cache, dvc.lock knows nothing
            (root / "dvc.lock").unlink()
            (root / "one.txt").unlink()
        assert repro(root).returncode == 0
        assert (root / "one.txt").read_text() == str(seed)
        assert len(runs(root)) == ran, "the fourth comes from the cache, and so does the second"
        kept = {file.name: json.loads(file.read_text())["seed"] for file in notes.iterdir()}
        of_another_run = (seed, ran) == (0, 2)
        assert kept == ({} if of_another_run else {"one.json": seed, "one~1.json": seed})


def test_a_file_that_a_stage_reads_may_be_edited_too_and_params_may_have_a_mistake_by_then(root: Path) -> None:
    once = "test -e 'ROOT/edited' || { touch 'ROOT/edited'; echo 2 > 'ROOT/code.txt'; EDIT; }"
    edit = once.replace("EDIT", "sed -i 's/^seed:/sed:/' 'ROOT/params.yaml'")
    write(
        root,
        f"""
  one: {{cmd: "NOTE; cp code.txt one.txt; {edit}", deps: [code.txt, data/settings], outs: [one.txt]}}
  bad: {{cmd: "NOTE; exit 1", deps: [data/settings], outs: [bad.txt]}}
""",
    )
    (root / "code.txt").write_text("1\n")
    done = repro(root)
    assert done.stderr.startswith("error: bad: failed"), "what failed comes first"
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("\nsed:", "\nseed:"))
    assert runs(root) == ["bad", "one"]
    assert (root / "one.txt").read_text() == "1\n"
    assert repro(root, "one").returncode == 0
    assert (root / "one.txt").read_text() == "2\n"


def test_metrics_that_git_keeps_come_from_the_run_cache(root: Path) -> None:
    metric = "metrics: [{m.json: {cache: false}}]"
    write(
        root,
        f"""
  one: {{cmd: "NOTE; cp data/settings/all.json one.txt", deps: [data/settings], outs: [one.txt]}}
  two: {{cmd: "NOTE; cp one.txt two.txt; cp one.txt m.json", deps: [one.txt], outs: [two.txt], {metric}}}
  three: {{cmd: "NOTE; cp two.txt three.txt", deps: [two.txt], outs: [three.txt]}}
""",
    )
    params = root / "params.yaml"
    for seed in (0, 1):
        params.write_text(params.read_text().replace("\nseed: 0", f"\nseed: {seed}"))
        done = repro(root)
        assert done.returncode == 0, done.stderr
        assert (root / "m.json").read_text() == (root / "three.txt").read_text() == str(seed)
    assert runs(root) == sorted(2 * ["one", "two", "three"])


def test_a_stage_that_reads_no_settings_runs_whatever_they_are(root: Path) -> None:
    write(root, '  free: {cmd: "NOTE; cp code.txt free.txt", deps: [code.txt], outs: [free.txt]}\n')
    (root / "code.txt").write_text("1\n")
    for _ in range(2):
        assert repro(root, "free").returncode == 0
    assert runs(root) == ["free"]


def test_files_beside_the_project_are_read_from_where_they_are(root: Path) -> None:
    write(
        root, '  near: {cmd: "NOTE; cp ../near.txt near.txt", deps: [../near.txt, data/settings], outs: [near.txt]}\n'
    )
    (root.parent / "near.txt").write_text("1\n")
    (root.parent / "pictures").mkdir()
    (root / "stages/settings.py").write_text(SETTINGS + "assert pathlib.Path('../pictures').is_dir()\n")
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("path: data/external/none", "path: ../pictures"))
    for seed in (0, 1):
        params.write_text(params.read_text().replace("seed: 0", f"seed: {seed}"))
        done = repro(root)
        assert done.returncode == 0, done.stderr
    assert (root / "near.txt").read_text() == "1\n"
    assert sorted(path.name for path in root.parent.iterdir()) == ["a project of mine", "near.txt", "pictures"]


def test_a_lock_with_marks_of_a_merge_is_one_line(root: Path) -> None:
    write(root, '  one: {cmd: "NOTE; cp data/settings/all.json one.txt", deps: [data/settings], outs: [one.txt]}\n')
    assert repro(root).returncode == 0
    lock = root / "dvc.lock"
    for text in ("<<<<<<< HEAD\n", f"<<<<<<< HEAD\n{lock.read_text()}=======\n>>>>>>> other\n"):
        lock.write_text(text)
        done = repro(root)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert lock.read_text() == text


def test_a_graph_in_another_folder_is_left_alone_as_by_dvc(root: Path) -> None:
    write(root, '  one: {cmd: "NOTE; cp data/settings/all.json one.txt", deps: [data/settings], outs: [one.txt]}\n')
    (root / "sub").mkdir()
    (root / "sub/dvc.yaml").write_text("stages: {x: {cmd: echo 1 > x.txt, outs: [x.txt]}}\n")
    done = repro(root)
    assert done.returncode == 0, done.stderr
    assert runs(root) == ["one"]
    assert not (root / "sub/x.txt").exists()
    assert read_stages(root / "dvc.lock").keys() == {"settings", "one"}


def test_images_in_the_project_are_not_copied_for_workers(root: Path) -> None:
    (root / "pictures").mkdir()
    (root / "pictures/1.png").write_bytes(b"png")
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("path: data/external/none", "path: pictures"))
    write(root, '  one: {cmd: "ls > one.txt", deps: [data/settings], outs: [one.txt]}\n')
    assert repro(root).returncode == 0
    assert "stages" in (root / "one.txt").read_text().split()
    assert "pictures" not in (root / "one.txt").read_text().split()


def test_a_name_that_is_not_utf_8_stops_nothing(root: Path) -> None:
    write(root, '  one: {cmd: "cp data/settings/all.json one.txt", deps: [data/settings], outs: [one.txt]}\n')
    name = os.fsencode(str(root)) + b"/note-\xff.txt"
    try:
        with open(name, "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes no such name")
    done = repro(root)
    assert done.returncode == 0, done.stderr


def test_a_lock_that_the_file_system_does_not_have_is_one_line(root: Path) -> None:
    write(root, "")
    code = (
        "import errno, fcntl, sys\n"
        "def flock(*_): raise OSError(errno.ENOLCK, 'No locks available')\n"
        "fcntl.flock = flock\n"
        "from touchstone.cli import main\n"
        "main(['repro'])\n"
    )
    done = subprocess.run(["python", "-c", code], cwd=root, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {root}/.touchstone/repro/lock: cannot be locked (No locks available)")

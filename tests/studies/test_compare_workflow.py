"""The scripts of .github/workflows/compare.yml, run beside a remote: the branch of the charts, and the comment."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from kit.project import ENVIRONMENT, ROOT, run

WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/compare.yml").read_text())
STEPS = {step["name"]: step for step in WORKFLOW["jobs"]["comment"]["steps"] if "name" in step}
STUB = '#!/bin/sh\necho "$(basename "$0") $*"\n'


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of a repository with one commit, and stubs that print how they were called."""
    run("git", "init", "-q", "--bare", tmp_path / "origin.git", cwd=tmp_path)
    here = tmp_path / "clone"
    run("git", "clone", "-q", f"file://{tmp_path}/origin.git", here, cwd=tmp_path)
    (here / "code.py").write_text("1\n")
    (here / ".venv/bin").mkdir(parents=True)
    for name in ("dvc", "touchstone"):
        (here / ".venv/bin" / name).write_text(STUB)
        (here / ".venv/bin" / name).chmod(0o755)
    run("git", "add", "code.py", cwd=here)
    run("git", "commit", "-qm", "start", cwd=here)
    run("git", "push", "-q", "origin", "HEAD:main", cwd=here)
    return here


def step(clone: Path, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a step as a runner does: bash that stops at the first error. Return what it did."""
    script, extra = STEPS[name]["run"], {"BASE": "base", "REPOSITORY": "https://e.org/a/b", "SHA": "abc", **variables}
    assert "${{" not in script, "no text of a pull request is put into a script"
    extra |= {"CHARTS": WORKFLOW["env"]["CHARTS"], "RUNNER_TEMP": str(clone.parent)}
    extra |= {name: str(clone.parent / name.lower()) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=clone, env=ENVIRONMENT | extra, capture_output=True, text=True)


def test_every_chart_is_kept_on_a_branch_that_holds_nothing_else(clone: Path) -> None:
    for sha, content in (("first", b"one"), ("second", b"two"), ("first", b"three")):
        (clone / "chart.png").write_bytes(content)
        done = step(clone, "Give the chart an address", SHA=sha)
        assert done.returncode == 0, done.stderr
        address = (clone.parent / "github_output").read_text().splitlines()[-1]
        assert address == f"address=https://e.org/a/b/raw/pull-request-charts/{sha}.png"
    origin = clone.parent / "origin.git"
    files = run("git", "ls-tree", "-r", "--name-only", "pull-request-charts", cwd=origin).stdout.split()
    assert files == ["first.png", "second.png"]
    for name, content in (("first", "three"), ("second", "two")):
        assert run("git", "show", f"pull-request-charts:{name}.png", cwd=origin).stdout == content
    roots = run("git", "rev-list", "--max-parents=0", "pull-request-charts", "main", cwd=origin).stdout.split()
    assert len(roots) == 2, "an orphan branch"
    assert run("git", "status", "--short", "code.py", cwd=clone).stdout == "", "the checkout stays as it was"


def test_a_push_that_fails_leaves_no_address(clone: Path) -> None:
    (clone / "chart.png").write_bytes(b"one")
    os.rename(clone.parent / "origin.git", clone.parent / "gone.git")
    assert step(clone, "Give the chart an address").returncode != 0
    assert not (clone.parent / "github_output").exists()
    assert STEPS["Give the chart an address"]["continue-on-error"]


def test_the_comment_has_the_table_the_chart_and_folded_metrics(clone: Path) -> None:
    assert step(clone, "Compare").returncode == 0
    (clone / "compare.html").write_text("page")
    assert step(clone, "Write the comment", CHART="https://e.org/x.png", RUN="7").returncode == 0
    comment = (clone / "comment.md").read_text()
    assert comment.startswith("touchstone compare base abc --md --html compare.html --png chart.png\n\n![")
    assert "](https://e.org/x.png)" in comment
    assert "[this run](https://e.org/a/b/actions/runs/7)" in comment
    shown, folded = comment.split("<details>")
    assert "dvc params diff --md base abc" in shown
    assert "\n\ndvc metrics diff --md --no-path base abc\n\n</details>" in folded
    assert (clone.parent / "github_step_summary").read_text() == comment


def test_a_comparison_that_fails_is_in_the_comment_without_a_chart(clone: Path) -> None:
    (clone / ".venv/bin/touchstone").write_text("#!/bin/sh\necho 'error: no predictions' >&2\nexit 1\n")
    assert step(clone, "Compare").returncode == 0
    assert step(clone, "Write the comment", CHART="", RUN="7").returncode == 0
    comment = (clone / "comment.md").read_text()
    assert comment.startswith("error: no predictions\n")
    assert "![" not in comment
    assert "this run" not in comment
    assert "#### Parameters" in comment


def test_a_fork_neither_pushes_nor_is_commented_on() -> None:
    for name in ("Give the chart an address", "Comment on the pull request"):
        assert "github.event.pull_request.head.repo.full_name == github.repository" in STEPS[name]["if"]

"""A study's copy of the project: what it is given, what it keeps, and that no output in it is another run's."""

import json
import re
import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from kit.project import ROOT, project, run
from kit.studies import recipe
from touchstone.config.load import load
from touchstone.errors import TouchstoneError
from touchstone.studies.alone import alone
from touchstone.studies.commands import outputs_in_git
from touchstone.studies.made_by import PLACES, State, state
from touchstone.studies.overview import overview
from touchstone.studies.workspace import copy_project

OUTPUTS = tuple(
    f"metrics/{name}" for name in ("audit.json", "metrics.json", "report.md", "audit_summary.json", "summary.json")
)
LOCK = "stages:\n  evaluate:\n    cmd: x\n    outs:\n    - path: metrics/metrics.json\n      md5: abc\n"


def test_a_copy_has_the_code_its_own_params_and_the_shared_cache(tmp_path: Path) -> None:
    root, to = project(tmp_path / "root"), tmp_path / "copy"
    (root / "data/external/mine").mkdir()
    copy_project(root, to, settings="seed: 1\n")
    assert (to / "params.yaml").read_text() == "seed: 1\n"
    assert (to / "src/touchstone/seeds.py").read_bytes() == (root / "src/touchstone/seeds.py").read_bytes()
    assert (to / "data/external/mine").is_dir()
    assert run("dvc", "cache", "dir", cwd=to).stdout.strip() == str(root / ".dvc/cache")
    (root / "src/touchstone/seeds.py").unlink()
    (to / "dvc.lock").write_text(LOCK)
    copy_project(root, to, settings="seed: 2\n")
    assert not (to / "src/touchstone/seeds.py").exists()
    assert (to / "dvc.lock").read_text() == LOCK


def test_a_copy_gets_no_output_that_no_run_in_it_wrote(tmp_path: Path) -> None:
    root, to = project(tmp_path / "root"), tmp_path / "copy"
    with (root / "dvc.yaml").open("a") as graph:
        graph.write("  more:\n    cmd: x\n    outs:\n    - docs/made:\n        cache: false\n    - docs/cached\n")
    for name in ("docs/made/a.md", "docs/cached", *OUTPUTS):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("the project's")
    copy_project(root, to, settings="seed: 1\n")
    assert not [name for name in (*OUTPUTS, "docs/made") if (to / name).exists()]
    assert (to / "docs/cached").exists(), "git lists it, and dvc.yaml does not say cache: false"
    for name in ("docs/made/a.md", *OUTPUTS):  # as an earlier copy may have brought them
        (to / name).parent.mkdir(exist_ok=True)
        (to / name).write_text("in the copy")
    (to / "dvc.lock").write_text(LOCK)
    copy_project(root, to, settings="seed: 1\n")
    assert [name for name in (*OUTPUTS, "docs/made") if (to / name).exists()] == ["metrics/metrics.json"]
    assert (to / "metrics/metrics.json").read_text() == "in the copy", "its dvc.lock lists this one alone"


def test_the_outputs_of_the_pipeline_that_git_keeps_are_read_from_dvc_yaml(tmp_path: Path) -> None:
    assert outputs_in_git(ROOT) == set(OUTPUTS)
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  a:\n    foreach: [1]\n    do:\n      cmd: x\n      plots:\n      - p.csv: {cache: false, x: step}\n"
        "      - q.csv: {x: step}\n  b:\n    cmd: x\n    outs: [o, r: {persist: true}, s: {cache: false}]\n"
    )
    assert outputs_in_git(tmp_path) == {"p.csv", "s"}
    for text in ("stages: [", "a: 1", "stages: {a: 1}"):
        (tmp_path / "dvc.yaml").write_text(text)
        with pytest.raises(TouchstoneError, match=r"dvc\.yaml: not readable"):
            outputs_in_git(tmp_path)


def test_no_kept_report_shows_the_audit_of_the_default() -> None:
    """A recipe on other images has other figures in each row."""
    default = _audit_rows(ROOT / "recipes/digits/report.md")
    assert default
    for report in sorted(ROOT.glob("recipes/*/report.md")):
        if load(report.parent / "params.yaml").data.source != "digits":
            assert not _audit_rows(report) & default, report


def _audit_rows(report: Path) -> set[str]:
    """The rows of the audit's tables, without their headers."""
    [part] = re.findall(r"<!-- audit:start -->\n(.*)<!-- audit:end -->", report.read_text(), re.S) or [""]
    return {row for table in part.strip().split("\n\n") for row in table.splitlines()[2:]}


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["digit"], "; did you mean digits?"),
        (["digits", "-S", "train.lrr=1"], "did you mean lr?"),
        (["digits", "-S", "nonsense"], "expected section.key=value"),
    ],
)
def test_bad_studies_are_one_line(tmp_path: Path, arguments: list[str], part: str) -> None:
    done = run("touchstone", "study", *arguments, cwd=project(tmp_path), check=False)
    assert done.returncode == 1
    assert part in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_study_keeps_its_products_and_leaves_the_project_alone(tmp_path: Path) -> None:
    root = project(tmp_path)
    recipe(root, "tiny")
    (root / "recipes/tiny/published.csv").write_text("run,validation,test,note\nlenet-real,,50,\n")
    run("touchstone", "studies", "--fill", cwd=root)
    before = run("git", "status", "--porcelain", cwd=root).stdout
    run("touchstone", "study", "tiny", cwd=root)
    assert (root / "recipes/tiny/report.md").read_text().startswith("# digits: Touchstone report")
    assert "No exact copies of test images among 40" in (root / "recipes/tiny/report.md").read_text(), "its audit"
    assert '"lenet-real"' in (root / "recipes/tiny/metrics.json").read_text()
    page = (root / "recipes/tiny/figures/README.md").read_text()
    pictures = {file.name for file in (root / "recipes/tiny/figures").glob("*.png")}
    assert "confusion.png" in pictures
    assert {f"![]({name})" for name in pictures} <= set(page.splitlines())
    assert run("git", "status", "--porcelain", cwd=root).stdout == before
    assert state(root / "recipes/tiny", "study", root) is State.CURRENT
    assert json.loads((root / "recipes/tiny/cost.json").read_text())["trained"].keys() == {"lenet-real"}
    (row,) = [line for line in overview(root / "recipes").splitlines() if line.startswith("| tiny | lenet-real | 50 |")]
    assert " | 40 | 6 steps | 1 | " in row, "as the report says it"
    lock = YAML(typ="safe").load(root / "recipes/tiny/dvc.lock")
    assert {out["path"] for out in lock["stages"]["report"]["outs"]} > {"metrics/report.md", "metrics/metrics.json"}
    sections = lock["stages"]["settings"]["params"]["params.yaml"]
    assert "train" in sections
    assert sections.keys().isdisjoint(PLACES)
    kept = {file: file.read_bytes() for file in (root / "recipes/tiny").rglob("*.*")}
    again = run("touchstone", "study", "tiny", cwd=root)
    assert "Everything is up to date." in again.stdout
    assert {file: file.read_bytes() for file in (root / "recipes/tiny").rglob("*.*")} == kept


def test_a_folder_added_to_dvc_is_seen_by_git_and_by_dvc(tmp_path: Path) -> None:
    """The ignore rules must let data/external/<name>.dvc through for both, or `dvc push` leaves it out."""
    root = project(tmp_path / "root")
    (root / "data/external/pictures/cat").mkdir(parents=True)
    (root / "data/external/pictures/cat/1.txt").write_text("x")
    run("dvc", "add", "data/external/pictures", cwd=root)
    assert run("git", "status", "--porcelain", cwd=root).stdout == "?? data/external/pictures.dvc\n"
    run("git", "add", "-A", cwd=root)
    assert any(stage.addressing.endswith("data/external/pictures.dvc") for stage in Repo(str(root)).index.stages)


@pytest.mark.parametrize(("command", "recipe"), [("study", "digits"), ("sweep", "grid")])
def test_a_recipe_runs_once_at_a_time(tmp_path: Path, command: str, recipe: str) -> None:
    root, folder = project(tmp_path / "project"), {"study": "studies", "sweep": "sweeps"}[command]
    with alone(root / f".touchstone/{folder}/{recipe}.lock", refusal=""):
        done = run("touchstone", command, recipe, cwd=root, check=False)
    assert done.stderr == f"error: another `touchstone {command} {recipe}` is running here; wait until it ends\n"
    assert not (root / f".touchstone/{folder}/{recipe}").exists(), "nothing of the first is touched"


def test_links_of_a_project_that_was_copied_lead_to_its_own_images(tmp_path: Path) -> None:
    root = project(tmp_path / "project")
    copy_project(root, root / "copy", settings=(root / "params.yaml").read_text())
    other = tmp_path / "other"
    shutil.copytree(root, other, symlinks=True)
    copy_project(other, other / "copy", settings=(other / "params.yaml").read_text())
    assert (other / "copy/data/external").resolve() == other / "data/external"

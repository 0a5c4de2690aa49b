"""The graph's promises, read from dvc.yaml and from the source."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from kit.project import ROOT
from touchstone.code_hash import imports
from touchstone.config import params, sections

GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
GRAPH = {name: stage.get("do", stage) for name, stage in GRAPH.items()}  # of a foreach, what it does for each


BEFORE_PREDICT = ("transform", "nets", "pretrained", "encoder", "filters", "fit", "synthesize", "augment")
BEFORE_PREDICT += ("find_lr", "train", "start", "finetune")
SCRIPTS = {"finetune": "train", "predict_finetuned": "predict"}  # of stages that have none of their own


def paths(stage: str, kind: str) -> set[str]:
    """deps, outs, ...: entries may carry settings."""
    return {next(iter(entry)) if isinstance(entry, dict) else entry for entry in GRAPH[stage].get(kind, [])}


def products(stage: str) -> set[str]:
    return set().union(*(paths(stage, kind) for kind in ("outs", "metrics", "plots")))


def script(stage: str) -> Path:
    return ROOT / GRAPH[stage]["cmd"].split()[2]


def covers(path: str, deps: set[str]) -> bool:
    return any(path == dep or path.startswith(dep + "/") for dep in deps)


def pattern(path: str) -> str:
    return re.sub(r"\$\{[^}]*\}", "*", path)


def alike(made: str, dep: str) -> bool:
    return fnmatch(made, dep) and made.count("/") == dep.count("/")


def feeds(stage: str) -> set[str]:
    """The stages whose products `stage` depends on, directly."""
    deps = {pattern(dep) for dep in paths(stage, "deps")}
    return {
        other
        for other in GRAPH
        for made in map(pattern, products(other))
        if any(alike(made, dep) or made.startswith(dep + "/") or dep.startswith(made + "/") for dep in deps)
    }


def before(stage: str) -> set[str]:
    found: set[str] = set()
    todo = [stage]
    while todo:
        for other in feeds(todo.pop()) - found:
            found.add(other)
            todo.append(other)
    return found


def test_every_script_is_a_stage_and_every_stage_runs_a_script() -> None:
    scripts = {path.name for path in (ROOT / "stages").glob("*.py")}
    assert {script(stage).name for stage in GRAPH} == scripts
    for stage in GRAPH:
        own = SCRIPTS.get(stage, stage)
        assert GRAPH[stage]["cmd"].startswith(f"PYTHONPATH=src python stages/{own}.py"), "the code of this very copy"


@pytest.mark.parametrize("stage", sorted(set(GRAPH) - {"code"}))
def test_a_stage_depends_on_the_note_of_its_script_and_on_what_is_named_at_run_time(stage: str) -> None:
    deps = paths(stage, "deps")
    assert {dep for dep in deps if dep.startswith("data/code")} == {f"data/code/{script(stage).stem}.json"}
    folders = {dep for dep in deps if dep.startswith(("src/", "stages"))}
    assert folders <= {f"src/touchstone/{name}" for name in ("models/nets", "generators", "data/sources", "report")}


def test_the_notes_name_all_that_scripts_import(tmp_path: Path) -> None:
    assert paths("code", "deps") == {"src/touchstone", "stages"}
    for name in ("src", "stages"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src")}
    subprocess.run([sys.executable, "stages/code.py"], cwd=tmp_path, env=environment, check=True)
    for stage in GRAPH:
        note = json.loads((tmp_path / "data/code" / f"{script(stage).stem}.json").read_text())
        assert set(note) == {path.relative_to(ROOT).as_posix() for path in imports(script(stage))}
        for name, known in note.items():
            assert known == hashlib.sha256((ROOT / name).read_bytes()).hexdigest()


@pytest.mark.parametrize("stage", GRAPH)
def test_stages_are_thin(stage: str) -> None:
    assert len(script(stage).read_text().splitlines()) <= 60


def test_the_test_split_reaches_nothing_before_predict() -> None:
    test = "data/prepared/test"
    readers = {
        stage
        for stage in GRAPH
        if covers(test, paths(stage, "deps")) or any(d.startswith(test) for d in paths(stage, "deps"))
    }
    assert readers == {"predict", "predict_finetuned", "explain", "evaluate", "audit", "report"}
    for stage in BEFORE_PREDICT:
        assert not before(stage) & readers
    for stage in set(BEFORE_PREDICT) - {"nets"}:
        text = script(stage).read_text()
        assert "test" not in text
        assert "unlabelled" not in text


def test_generators_and_the_encoder_see_the_training_split_alone() -> None:
    for stage in ("encoder", "filters", "fit", "synthesize"):
        for path in paths(stage, "deps"):
            assert not path.startswith(("data/prepared/val", "data/prepared/test", "data/prepared/unl")), (stage, path)
        assert not re.search(r"prepared/(val|test|unlabelled)", script(stage).read_text()), stage


def test_nothing_but_the_report_reads_the_audit() -> None:
    for stage in GRAPH:
        read = {dep for dep in paths(stage, "deps") if dep.startswith(("data/audit", "metrics/audit"))}
        assert not read or stage == "report", stage


def test_the_encoder_hangs_on_what_it_takes_from_train() -> None:
    assert "params" not in GRAPH["encoder"]
    assert "data/nets/audit-encoder.json" in paths("encoder", "deps")


def test_asking_for_more_images_fits_nothing_anew() -> None:
    assert GRAPH["fit"]["params"] == ["generators.${item.name}.fit"]
    assert "generators.${item.name}.sample" in GRAPH["synthesize"]["params"]


def test_a_new_kind_of_generator_fits_nothing_anew() -> None:
    assert "data/kinds/${item.name}.json" in paths("fit", "deps")
    for stage in GRAPH:
        own = [dep for dep in paths(stage, "deps") if re.match(r"src/touchstone/generators(/[a-z]|$)", dep)]
        assert not own or stage in ("check", "nets"), f"{stage}: a kind counts by its hash"


def test_selection_sees_validation_and_not_test() -> None:
    assert {"data/prepared/val/images.npy", "data/prepared/val/table.csv"} <= paths("train", "deps")
    early = {"code", "check", "download", "prepare", *BEFORE_PREDICT}
    assert before("train") == early - {"train", "start", "finetune"}
    assert before("finetune") == early, "by their patterns, a finetune may start from another"


def test_check_comes_before_everything() -> None:
    for stage in set(GRAPH) - {"code", "check"}:
        assert "check" in before(stage), stage
    tracked = set(params.Params.model_fields) - {"machine"}  # in dvc.lock it would make machines differ
    assert set(GRAPH["check"]["params"]) == tracked


def test_what_belongs_to_a_machine_changes_no_result() -> None:
    for stage in GRAPH:
        tracked = GRAPH[stage].get("params", [])
        assert not [key for key in tracked if key.split(".")[0] == "machine"], stage
    located = {"data", "data.mirror", "data.path"}
    assert [stage for stage in GRAPH if located & set(GRAPH[stage].get("params", []))] == ["check", "download"]
    assert "data.mirror" not in GRAPH["download"]["params"]


def test_every_key_of_data_counts_somewhere() -> None:
    known = {f"data.{key}" for key in sections.Data.model_fields} - {"data.mirror", "data.path"}
    for stage in ("prepare", "report"):
        assert {key for key in GRAPH[stage]["params"] if key.startswith("data")} == known


def test_pictures_for_people_re_run_nothing() -> None:
    """A contact sheet lies in its set: who reads the set depends on its files, not on the folder."""
    for stage in (*BEFORE_PREDICT, "predict", "predict_finetuned", "explain", "audit"):
        folders = {f"data/prepared/{split}" for split in ("train", "val", "test", "unlabelled")}
        assert not folders & paths(stage, "deps"), stage


def test_prediction_depends_on_the_code_of_its_net() -> None:
    for stage in ("predict", "predict_finetuned"):
        assert "data/nets/${item.model}.json" in paths(stage, "deps")


def test_a_finetune_hangs_on_its_origin_by_a_note_and_on_its_own_settings() -> None:
    assert paths("start", "deps") >= {"data/runs/${item.init_from}", "data/check.json"}
    assert GRAPH["start"]["params"] == ["finetunes.${key}.init_from"], "its learning rate makes no new note"
    assert not paths("finetune", "deps") & {"data/runs", "data/starts"}
    assert "data/starts/${item.model}.json" in paths("finetune", "deps")
    assert set(GRAPH["finetune"]["params"]) == {"finetunes.${item.model}", "train"}
    for stage in ("train", "find_lr", "pretrained", "predict"):
        assert not {key for key in GRAPH[stage]["params"] if key.startswith("finetunes")}, stage


def test_training_hangs_on_its_own_small_files() -> None:
    deps = paths("train", "deps")
    own = {"data/nets/${item.model}.json", "data/arms/${item.arm}.json", "data/pretrained/${item.model}.json"}
    assert own <= deps
    assert not deps & {"data/nets", "data/arms", "data/pools", "data/pretrained"}
    assert set(GRAPH["train"]["params"]) == {"models.${item.model}", "train"}


def test_costly_outputs_are_cached_and_metrics_are_in_git() -> None:
    for stage in ("train", "predict", "transform", "encoder", "fit", "synthesize", "ensemble"):
        assert all(isinstance(out, str) for out in GRAPH[stage]["outs"]), f"{stage}: restored from the run cache"
    assert GRAPH["audit"]["metrics"] == [{"metrics/audit.json": {"cache": False}}]
    assert GRAPH["evaluate"]["metrics"] == [{"metrics/metrics.json": {"cache": False}}]


def test_gitignore_is_static_and_covers_every_cached_product() -> None:
    lines = (ROOT / ".gitignore").read_text().splitlines()
    assert "/data/?*" in lines
    for stage in GRAPH:
        for kind in ("outs", "plots"):
            for entry in GRAPH[stage].get(kind, []):
                path, settings = next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
                if settings.get("cache", True):
                    assert path.startswith("data/") or f"/{path}" in lines, path


def test_dvc_is_quiet_and_links() -> None:
    text = (ROOT / ".dvc/config").read_text()
    assert "analytics = false" in text
    assert "check_update = false" in text
    assert 'type = "reflink,hardlink,copy"' in text


def test_layers_import_downwards_only() -> None:
    """Nets and sources know nothing of one another; the project's paths belong to stages and the CLI."""
    package = ROOT / "src/touchstone"
    for folder in ("models/nets", "data/sources"):
        for file in sorted((package / folder).glob("*.py")):
            others = {path.stem for path in imports(file)[1:] if path.parent == file.parent} - {"__init__"}
            own = {name for name in others if not name.startswith("_")}
            assert not own, f"{file.name} imports {own}"
    for file in package.rglob("*.py"):
        if "report" not in file.parts and file.stem not in ("cli", "workspace", "stage", "params", "checks", "errors"):
            assert not re.search(r'Path\("(data|metrics)', file.read_text()), file

"""The graph's promises, read from dvc.yaml and from the source."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from kit.project import ROOT
from touchstone.code_hash import constant
from touchstone.config.schema.params import Params
from touchstone.training.resume import fingerprint, inputs

GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
GRAPH = {name: stage.get("do", stage) for name, stage in GRAPH.items()}  # of a foreach, what it does for each

BEFORE_PREDICT = (
    "transform",
    "pretrained",
    "encoder",
    "filters",
    "pipelines",
    "fit",
    "collect",
    "synthesize",
    "augment",
)
BEFORE_PREDICT += (
    "find_lr",
    "tune",
    "train",
    "start",
    "tune_finetuned",
    "finetune",
    "teach",
    "tune_student",
    "student",
)
SCRIPTS = {
    "tune_finetuned": "tune",
    "finetune": "train",
    "predict_finetuned": "predict",
    "tune_student": "tune",
    "student": "train",
    "predict_student": "predict",
}  # of stages that have none of their own


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


SHARED = {"data/settings/sheet.json", "data/settings/replicates.json"}


@pytest.mark.parametrize("stage", sorted(set(GRAPH) - {"settings"}))
def test_a_stage_depends_on_its_own_settings_and_tracks_no_parameter_itself(stage: str) -> None:
    deps = paths(stage, "deps")
    own = {dep for dep in deps if re.fullmatch(r"data/settings/[a-z_]+\.json", dep)} - {
        "data/settings/sheet.json",
        "data/settings/replicates.json",
    }
    assert own == {f"data/settings/{script(stage).stem}.json"}
    assert "params" not in GRAPH[stage]
    folders = {dep for dep in deps if dep.startswith(("src/", "stages"))}
    assert not folders or stage in ("report", "verdict"), "code counts by the hashes in a stage's settings"


@pytest.mark.parametrize("stage", sorted(set(GRAPH) - {"settings"}))
def test_a_script_reads_the_settings_that_its_stage_depends_on(stage: str) -> None:
    text, deps = script(stage).read_text(), paths(stage, "deps")
    for kind in ("models", "transforms", "generators"):
        if f'"{kind}/' in text:
            assert [dep for dep in deps if dep.startswith(f"data/settings/{kind}/")], kind
    for shared in ("sheet", "replicates"):
        assert (f'read("{shared}")' in text) == (f"data/settings/{shared}.json" in deps)
    reads_its_own = re.search(rf'(read|load|load_settings)\(([A-Z]\w+, )?"{script(stage).stem}"', text) is not None
    assert reads_its_own == (constant(script(stage), "SETTINGS") is not None)


@pytest.mark.parametrize("stage", GRAPH)
def test_stages_are_thin(stage: str) -> None:
    assert len(script(stage).read_text().splitlines()) <= 66


def test_the_test_split_reaches_nothing_before_predict() -> None:
    test = "data/prepared/test"
    readers = {
        stage
        for stage in GRAPH
        if covers(test, paths(stage, "deps")) or any(d.startswith(test) for d in paths(stage, "deps"))
    }
    predict = {"predict", "predict_finetuned", "predict_student"}
    assert readers == predict | {"explain", "evaluate", "audit", "report", "verdict"}
    for stage in BEFORE_PREDICT:
        assert not before(stage) & readers
    for stage in BEFORE_PREDICT:
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
        read = {dep for dep in paths(stage, "deps") if dep.startswith("data/audit")}
        assert not read or stage == "report", stage


def test_selection_sees_validation_and_not_test() -> None:
    assert {"data/prepared/val/images", "data/prepared/val/table.csv"} <= paths("train", "deps")
    early = {"settings", "download", "prepare", *BEFORE_PREDICT}
    # By their patterns, a finetune may start from another, and its search writes where that of a model does.
    for stage in ("train", "finetune"):
        assert before(stage) == early


def test_settings_come_before_everything() -> None:
    for stage in set(GRAPH) - {"settings"}:
        assert "settings" in before(stage), stage
    tracked = set(Params.model_fields) - {"machine", "cluster"}  # in dvc.lock it would make machines differ
    assert set(GRAPH["settings"]["params"]) == tracked
    assert set(GRAPH["settings"]["deps"]) == {"src/touchstone", "stages"}


def test_pictures_for_people_re_run_nothing() -> None:
    """A contact sheet lies in its set: who reads the set depends on its files, not on the folder."""
    for stage in (*BEFORE_PREDICT, "predict", "predict_finetuned", "explain", "audit"):
        folders = {f"data/prepared/{split}" for split in ("train", "val", "test", "unlabelled")}
        assert not folders & paths(stage, "deps"), stage


def test_a_finetune_hangs_on_its_origin_by_a_note_and_on_its_own_settings() -> None:
    assert paths("start", "deps") == {"data/settings/start.json", "data/runs/${item.init_from}"}
    assert not paths("finetune", "deps") & {"data/runs", "data/starts"}
    assert "data/starts/${item.model}.json" in paths("finetune", "deps")
    assert "data/settings/models/${item.model}.json" in paths("finetune", "deps")


def test_training_hangs_on_its_own_small_files() -> None:
    deps = paths("train", "deps")
    own = {f"data/{kind}/${{item.model}}.json" for kind in ("settings/models", "pretrained", "lr")}
    own |= {"data/arms/${item.arm}.json", "data/tuned/${item.model}-${item.arm}.json"}
    assert own <= deps
    assert paths("tune", "deps") - {"data/settings/tune.json"} < deps, "a search sees what its training sees"
    finetuned = paths("tune_finetuned", "deps") - {"data/settings/tune.json"}
    assert finetuned < paths("finetune", "deps")
    assert not deps & {"data/settings/models", "data/arms", "data/augmented", "data/pretrained"}


def test_costly_outputs_are_cached_and_metrics_are_in_git() -> None:
    for stage in ("train", "predict", "transform", "encoder", "fit", "synthesize", "ensemble"):
        assert all(isinstance(out, str) for out in GRAPH[stage]["outs"]), f"{stage}: restored from the run cache"
    for name in ("audit.json", "metrics.json", "report.md"):
        assert {f"metrics/{name}": {"cache": False}} in GRAPH["report"]["outs"]
    assert GRAPH["audit"]["metrics"] == [{"metrics/audit_summary.json": {"cache": False}}]
    assert GRAPH["evaluate"]["metrics"] == [{"metrics/summary.json": {"cache": False}}]


def test_only_the_report_writes_what_is_neither_cached_nor_a_metric() -> None:
    """DVC keeps such a stage out of its run-cache, and `touchstone repro` runs it and all that follow one by one."""
    for stage in GRAPH:
        uncached = [
            out for out in GRAPH[stage].get("outs", ()) if isinstance(out, dict) and {"cache": False} in out.values()
        ]
        assert not uncached or stage == "report", stage


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


def test_resume_fingerprints_are_of_the_declared_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them counts, but for what is set apart, key by key."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    items: dict[str, dict[str, str]] = {
        **{stage: {"model": "m", "arm": "a"} for stage in ("tune", "tune_finetuned", "train", "finetune")},
        "encoder": {},
        "fit": {"name": "g"},
        "synthesize": {"name": "g"},
    }
    for stage, item in items.items():
        declared = inputs(stage, **item)
        assert len(declared) == len(GRAPH[stage]["deps"])
        assert not [path for path in declared if "${" in path]
        for path in declared:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text('{"seeds": 1, "more": {"seeds": 1, "rest": 1}}')
        first = fingerprint(declared, accelerator="cpu")
        assert first != fingerprint(declared, accelerator="gpu")
        for path in declared:
            before = Path(path).read_text()
            Path(path).write_text(before.replace('"seeds": 1', '"seeds": 2'))
            assert fingerprint(declared, accelerator="cpu") != first, path
            apart = {path: ["seeds"]}
            changed = fingerprint(declared, accelerator="cpu", apart=apart)
            Path(path).write_text(before)
            assert fingerprint(declared, accelerator="cpu", apart=apart) == changed
            Path(path).write_text(before.replace('"rest": 1', '"rest": 2'))
            assert fingerprint(declared, accelerator="cpu", apart=apart) != changed
            assert fingerprint(declared, accelerator="cpu", apart={path: None}) == fingerprint(
                [other for other in declared if other != path], accelerator="cpu"
            )
            Path(path).write_text(before)
        with pytest.raises(KeyError, match="not an input of the stage"):
            fingerprint(declared, accelerator="cpu", apart={"elsewhere": None})


@pytest.mark.parametrize("name", ["tune", "train", "encoder", "fit", "synthesize"])
def test_no_dependency_is_typed_again_for_a_fingerprint(name: str) -> None:
    assert re.search(rf'(inputs\("{name}"|run_fingerprint\(stage,)', (ROOT / f"stages/{name}.py").read_text())

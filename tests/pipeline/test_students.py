"""Students in the graph: they depend on the notes of their teachers on the same arm, and on no other run."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from kit.pipeline import commit, stages_run, would_run
from kit.project import ROOT, project, run
from touchstone.config import yaml as params_yaml

GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES = ("student", "tune_student")
NAMES = {"student": "train", "tune_student": "tune"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_student_depends_on_its_arms_notes_and_on_what_a_model_does(stage: str) -> None:
    deps = set(GRAPH[stage]["deps"])
    assert deps - set(GRAPH[NAMES[stage]]["deps"]) == {"data/teachers/${item.model}-${item.arm}"}
    assert set(GRAPH[NAMES[stage]]["deps"]) - deps == {"data/lr/${item.model}.json"}


def test_a_note_is_of_one_model_on_the_students_arm() -> None:
    teach = GRAPH["teach"]
    assert set(teach["deps"]) == {
        "data/settings/teach.json",
        "data/settings/models/${item.student}.json",
        "data/runs/${item.model}-${item.arm}",
    }
    assert teach["outs"] == ["data/teachers/${item.student}-${item.arm}/${item.model}.json"]
    assert teach["matrix"]["model"] == "${models}", "neither finetunes nor students teach: there is no circle"


def test_every_params_file_has_the_section() -> None:
    for file in [ROOT / "params.yaml", *ROOT.glob("recipes/*/params.yaml")]:
        assert "\nstudents:" in file.read_text(), file


@pytest.mark.slow
def test_the_graph_follows_the_teachers(tmp_path: Path) -> None:
    """Another teacher trains the student again, another model does not; nor does a teacher that ends the same."""
    space = project(
        tmp_path / "space",
        "generators={}",
        "transforms={repeat: {}}",
        "arms={real: {add: []}, more: {add: [repeat]}}",
        "explain.runs=[]",
        "ensembles={}",
        "models={first: {net: lenet, input_size: 32}, second: {net: simple, input_size: 32}, other: {net: lenet, "
        "input_size: 32}}",
        "students={small: {net: simple, input_size: 32, teachers: [first, second], policy: trivialaugment}}",
        "train.num_steps=6",
        "train.eval_steps=3",
        "train.replicates=2",
        "audit.encoder={net: lenet, input_size: 32, num_steps: 4}",
        "compare={baseline: real, against: {small: second-real}, num_resamples: 100}",
    )
    run("dvc", "repro", cwd=space)
    commit(space)
    notes = {path.name: json.loads(path.read_text()) for path in (space / "data/teachers/small-more").iterdir()}
    assert notes.keys() == {"first.json", "second.json", "other.json"}
    assert notes["other.json"] is None
    assert notes["first.json"]["run"] == "first-more", "of the same arm"
    metrics = json.loads((space / "metrics/metrics.json").read_text())
    assert metrics["small-real"]["baseline"] == "second-real"
    assert "taught by first, second" in (space / "metrics/report.html").read_text()

    students = {"student@small-real", "student@small-more"}

    def ran(change: str) -> set[str]:
        file = space / "params.yaml"
        before = file.read_text()
        file.write_text(params_yaml.changed(before, [change]))
        targets = [f"predict_student@small-{arm}" for arm in ("real", "more")]
        found = stages_run(run("dvc", "repro", *targets, cwd=space).stdout)
        file.write_text(before)
        run("git", "checkout", "-q", "dvc.lock", cwd=space)
        run("dvc", "checkout", cwd=space)
        return {name for name in found if not re.match("settings|pretrained|find_lr|tune", name)}

    other = {f"{stage}-{arm}" for stage in ("train@other", "teach@small-other") for arm in ("real", "more")}
    assert ran("models.other.lr=0.01") == other
    assert students <= ran("models.second.lr=0.01")
    assert students <= (found := ran("students.small.temperature=2"))
    assert not {name for name in found if name.startswith("train@")}
    file = space / "params.yaml"
    file.write_text(params_yaml.changed(file.read_text(), ["models.second.engine=torch"]))
    assert {"train@second-real"} <= would_run(space)
    run("dvc", "repro", "train@second-real", cwd=space)
    assert not {name for name in would_run(space) if name.startswith("student@small-real")}

    file.write_text(params_yaml.changed(file.read_text(), ["students.small.budget=tuned", "train.tune.trials=2"]))
    run("dvc", "repro", "student@small-real", cwd=space)
    assert len(pd.read_csv(space / "data/trials/small-real.csv")) == 2

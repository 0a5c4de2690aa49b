"""Published figures beside measured ones: of a recipe, and of all in one table with data, budgets and costs."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from kit.project import ROOT
from touchstone.cluster.study import kept_lock
from touchstone.config import yaml
from touchstone.config.load import load
from touchstone.errors import TouchstoneError
from touchstone.report.table import Table, grid, read_grid
from touchstone.studies import cost
from touchstone.studies.made_by import present, record
from touchstone.studies.overview import overview, published

PUBLISHED = """run,validation,test,note
lenet-real,60.5,,a
lenet-fixed,,70,b
mean,71,72,
c3-real,,,not published
"""
REPORT = """- Replicates: each run was trained 3 times, each time with new seeds
| arm | adds | training images |
| --- | --- | --- |
| real | nothing | 200 |
| fixed | shift | 400 |

| model | net | budget |
| --- | --- | --- |
| lenet | lenet | 300 steps |
|  |  | 5 epochs |
| c3 | c3 | 9 steps |

| model | real |
| --- | --- |
| lenet | 9 |
"""


def test_published_figures_stand_beside_the_kept_metrics(tmp_path: Path) -> None:
    source = tmp_path / "published.csv"
    source.write_text("run,validation,test,note\na,60.5,,x\nb,,55.46,\nc,,10,too high\n")
    assert published(source) == "", "nothing was measured yet"
    metrics = {"a": {"accuracy": 0.61234, "val_accuracy": 0.6}, "b": {"accuracy": 0.5}}
    metrics["c"] = {"accuracy": 0.1, "diverged": "1 of 1 seed"}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    assert published(source).splitlines()[2:] == [
        "| a | 60.5 | – | 60.00 | 61.23 | x |",
        "| b | – | 55.46 | – | 50.00 |  |",
        "| c | – | 10 | – | 10.00 | too high, diverged: 1 of 1 seed |",
    ]


@pytest.mark.parametrize("source", sorted(ROOT.glob("recipes/*/published.csv")), ids=lambda path: path.parent.name)
def test_published_runs_are_those_of_the_recipe_each_once(source: Path) -> None:
    table, settings = pd.read_csv(source), load(source.parent / "params.yaml")
    assert not table.duplicated([name for name in ("run", "measure") if name in table]).any()
    assert set(table["run"]) <= {*settings.runs, *settings.ensembles}


def test_a_published_run_that_was_added_after_the_figures_was_not_run_and_others_are_named(tmp_path: Path) -> None:
    source = tmp_path / "published.csv"
    shutil.copy(ROOT / "recipes/digits/params.yaml", tmp_path)
    (tmp_path / "metrics.json").write_text('{"lenet-real": {"accuracy": 0.5}}')
    source.write_text("run,validation,test,note\nlenet-real,,55,\nlenet-fixed,60,61,\nvote,,62,\n")
    assert published(source).splitlines()[2:] == [
        "| lenet-real | – | 55 | – | 50.00 |  |",
        "| lenet-fixed | 60 | 61 | – | not run |  |",
        "| vote | – | 62 | – | not run |  |",
    ]
    for runs in ("lenet-real\nlenet-fixd", "lenet-real\nlenet-real"):
        rows = "\n".join(f"{run},1,2," for run in runs.splitlines())
        source.write_text(f"run,validation,test,note\n{rows}\n")
        with pytest.raises(TouchstoneError, match="expected each run once"):
            published(source)


def test_a_figure_may_be_of_another_measure(tmp_path: Path) -> None:
    source = tmp_path / "published.csv"
    source.write_text("run,measure,validation,test,note\na,map,,72.9,\na,tail_accuracy,,91.2,\n")
    (tmp_path / "metrics.json").write_text('{"a": {"map": 0.7, "tail_accuracy": 0.9}}')
    assert published(source).splitlines()[2:] == ["| a | – | 72.9 | – | 70.00 |  |", "| a | – | 91.2 | – | 90.00 |  |"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one recipe that has published figures, and nothing kept yet."""
    folder = tmp_path / "recipes/x"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "recipes/digits/params.yaml", folder)
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    (folder / "published.csv").write_text(PUBLISHED)
    return tmp_path


def rows(project: Path) -> list[str]:
    return [line.removeprefix("| x | ").removesuffix(" |") for line in overview(project / "recipes").splitlines()[2:]]


def test_what_was_not_run_is_listed_all_the_same(project: Path) -> None:
    none = "not run | – | – | – | – | – | – | –"
    assert rows(project) == [
        f"lenet-real | 60.5 (val.) | {none} | a",
        f"lenet-fixed | 70 | {none} | b",
        f"mean | 71 (val.) | {none} | ",
        f"mean | 72 | {none} | ",
    ]


def test_a_row_says_what_was_trained_on_for_how_long_by_which_code(project: Path) -> None:
    folder = project / "recipes/x"
    scores = {"accuracy": 0.65, "accuracy_low": 0.6, "accuracy_high": 0.7, "val_accuracy": 0.66}
    runs = ("lenet-real", "lenet-fixed", "c3-real", "mean")
    (folder / "metrics.json").write_text(json.dumps(dict.fromkeys(runs, scores)))
    (folder / "report.md").write_text(REPORT)
    (folder / "cost.json").write_text(json.dumps({"trained": {"lenet-fixed": 90}}))
    budget = "300 steps + 5 epochs | 3"
    wanted = [
        f"lenet-real | 60.5 (val.) | 66.00 (val.) | – | 200 | {budget} | – | 4 | unrecorded | a",
        f"lenet-fixed | 70 | 65.00 | 60.00 to 70.00 | 400 | {budget} | 1.5 | 4 | unrecorded | b",
        "mean | 71 (val.) | 66.00 (val.) | – | – | – | 3 | – | 4 | unrecorded | ",
        "mean | 72 | 65.00 | 60.00 to 70.00 | – | – | 3 | – | 4 | unrecorded | ",
    ]
    assert rows(project) == wanted
    record(folder, "study", present(folder, "study", project))
    assert rows(project) == [row.replace("unrecorded", "current") for row in wanted]


def test_a_grid_is_read_as_it_was_written() -> None:
    table = Table("lr", ["run", "a|b"], [["x_y", "1 < 2 & [3] | *4*"], ["", "\\"]])
    lines = ["| other | 1 |", "", *grid(table).splitlines(), "", "| run | 1 |"]
    assert read_grid(lines, "run") == [dict(zip(table.header, row, strict=True)) for row in table.rows]
    assert read_grid(lines, "nothing") == []


def note(folder: Path, name: str, seconds: float, **hardware: str) -> None:
    machine = {"processor": "P", "cores": 2, "vectors": "AVX2"} | hardware
    (folder / f"{name}.json").write_text(json.dumps({"stage": name, "seconds": seconds, "hardware": machine}))


def test_cost_is_of_all_stages_and_of_each_training_with_its_seeds(tmp_path: Path) -> None:
    notes, stages = tmp_path / "notes", ["prepare", "train@lenet-real", "finetune@lenet-real2"]
    notes.mkdir()
    note(notes, "train@lenet-fixed", 7)  # of a graph that had this run, too
    for name, seconds in (("prepare", 5), ("train@lenet-real", 60), ("finetune@lenet-real2", 1)):
        note(notes, name, seconds)
    note(notes, "finetune@lenet-real2~1", 29, gpu="G")
    cost.record(tmp_path, notes, stages=stages)
    trained, hardware = {"lenet-real": 60, "lenet-real2": 30}, ["P, 2 cores, AVX2", "P, 2 cores, AVX2, G"]
    kept = json.loads((tmp_path / "cost.json").read_text())
    assert kept == {"seconds": 95, "from_cache": [], "trained": trained, "hardware": hardware}
    assert [cost.minutes(tmp_path, run) for run in ("lenet-real", "lenet-real2", "mean")] == ["1.0", "0.5", ""]


def test_what_came_from_a_cache_has_no_cost_and_is_named(tmp_path: Path) -> None:
    note(tmp_path, "finetune@b-real", 30)
    cost.record(tmp_path, tmp_path, stages=["prepare", "train@a-real", "finetune@b-real"])
    kept = json.loads((tmp_path / "cost.json").read_text())
    assert (kept["seconds"], kept["from_cache"]) == (30, ["prepare", "train@a-real"])
    assert [cost.minutes(tmp_path, run) for run in ("a-real", "b-real")] == ["", "0.5"]
    cost.record(tmp_path, tmp_path, stages=["train@a-real"])
    assert not (tmp_path / "cost.json").exists(), "no training was done here"


def test_a_measure_that_was_not_measured_is_named(tmp_path: Path) -> None:
    source = tmp_path / "published.csv"
    source.write_text("run,measure,validation,test,note\na,mapp,,72.9,\n")
    (tmp_path / "metrics.json").write_text('{"a": {"map": 0.7}}')
    with pytest.raises(TouchstoneError, match=r"measure mapp: metrics.json has no such score of a"):
        published(source)


LOCKED = """schema: '2.0'
stages:
  download:
    cmd: x
    deps:
    - path: /home/me/images
      md5: a
    - path: data/settings/download.json
      md5: b
    params:
      params.yaml:
        seed: 0
        machine:
          accelerator: cpu
  train@gone-real:
    cmd: y
"""


def test_a_kept_lock_has_the_stages_of_the_graph_and_no_places() -> None:
    kept = yaml.parse(kept_lock(LOCKED, stages=["download", "report"]))
    assert kept["stages"].keys() == {"download"}
    assert kept["stages"]["download"]["deps"] == [{"path": "data/settings/download.json", "md5": "b"}]
    assert kept["stages"]["download"]["params"] == {"params.yaml": {"seed": 0}}

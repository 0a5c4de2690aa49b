"""Outputs of stages that are gone: found by the graph, whatever stages it has."""

from pathlib import Path
from types import SimpleNamespace

import yaml

from kit.project import ROOT
from touchstone.config.leftovers import leftovers, remembered, remove_leftovers

NAMES = SimpleNamespace(
    transforms=["tilt"], generators=["gan"], models=["lenet"], finetunes=[], students=[], arms=["real", "fixed"]
)


def graph(folder: Path) -> Path:
    file = folder / "dvc.yaml"
    file.write_text((ROOT / "dvc.yaml").read_text())
    return file


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")


def test_what_no_stage_makes_any_more_is_found(tmp_path: Path) -> None:
    put(
        tmp_path,
        "data/augmented/tilt/images/0000.npy",
        "data/augmented/old/images/0000.npy",
        "data/augmented/gan/images/0000.npy",
    )
    put(tmp_path, "data/runs/lenet-real/run.json", "data/runs/simple-real/run.json", "data/curves/simple-real.csv")
    put(tmp_path, "data/starts/longer.json", "data/losses/gan.csv", "data/augmented/mine/a.png")
    gone = ("data/augmented/old", "data/runs/simple-real", "data/curves/simple-real.csv", "data/starts/longer.json")
    outs = [{"path": path} for path in (*gone, "data/augmented/tilt", "data/runs/lenet-real", "data/raw")]
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"any": {"outs": outs}}}))
    found = [path.relative_to(tmp_path).as_posix() for path in leftovers(NAMES, graph=graph(tmp_path))]
    assert found == [
        "data/augmented/old",
        "data/curves/simple-real.csv",
        "data/runs/simple-real",
        "data/starts/longer.json",
    ]


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    put(tmp_path, "data/external/mine/a.png", "data/raw/b.bin", "data/prepared/meta.json", "data/settings/train.json")
    put(tmp_path, "metrics/metrics.json", "data/mine.txt")
    assert leftovers(NAMES, graph=graph(tmp_path)) == []


def test_what_the_stages_made_is_remembered_where_the_lock_no_longer_lists_it(tmp_path: Path) -> None:
    """As after an experiment with another arm, when git has restored params.yaml and dvc.lock."""
    more = SimpleNamespace(**vars(NAMES) | {"arms": ["real", "fixed", "extra"]})
    remove_leftovers(more, graph=graph(tmp_path))
    put(tmp_path, "data/runs/lenet-extra/run.json", "data/runs/mine/a.txt", "data/trials/lenet-extra.csv")
    put(tmp_path, "data/runs/lenet-real/run.json")
    assert leftovers(more, graph=tmp_path / "dvc.yaml") == []
    remove_leftovers(NAMES, graph=tmp_path / "dvc.yaml")
    left = [path.relative_to(tmp_path).as_posix() for path in sorted((tmp_path / "data").rglob("*.*"))]
    assert left == ["data/runs/lenet-real/run.json", "data/runs/mine/a.txt"]
    assert "data/runs/lenet-extra" not in remembered(tmp_path)


def test_a_damaged_memory_is_none(tmp_path: Path) -> None:
    put(tmp_path, ".touchstone/outputs.json")
    assert remembered(tmp_path) == set()


def test_notes_for_students_and_of_models_that_are_gone_are_found(tmp_path: Path) -> None:
    kept = ("data/teachers/small-real/lenet.json", "data/teachers/small-fixed/lenet.json")
    gone = ("data/teachers/old-real/lenet.json", "data/teachers/small-real/simple.json")
    put(tmp_path, *kept, *gone, "data/teachers/mine/a.json")
    outs = [{"path": path} for path in (*kept, *gone)]
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"any": {"outs": outs}}}))
    for students, found in ((["small"], gone), ([], sorted((*kept, *gone)))):
        names = SimpleNamespace(**vars(NAMES) | {"students": students})
        left = leftovers(names, graph=graph(tmp_path))
        assert [path.relative_to(tmp_path).as_posix() for path in left] == list(found)

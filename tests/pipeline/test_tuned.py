"""Settings that are searched for each run, in the tiny pipeline."""

import json
from pathlib import Path

import pandas as pd
import pytest

from kit.pipeline import stages_run
from kit.project import run
from touchstone.config import yaml
from touchstone.config.schema.tune import TRIAL_COLUMNS


def change(folder: Path, *changes: str) -> None:
    file = folder / "params.yaml"
    file.write_text(yaml.changed(file.read_text(), list(changes)))


@pytest.mark.slow
def test_a_run_is_trained_with_what_its_search_found(tiny_space: Path) -> None:
    assert json.loads((tiny_space / "data/tuned/simple-real.json").read_text()) == {
        "lr": 1.0,
        "weight_decay": None,
        "steps": 1.0,
        "strength": 1.0,
    }
    assert list(pd.read_csv(tiny_space / "data/trials/simple-real.csv")) == list(TRIAL_COLUMNS)
    change(tiny_space, "models.simple.budget=tuned", "train.tune={trials: 3, steps: [0.5, 1], lr: [1, 20]}")
    ran = stages_run(run("dvc", "repro", "train@simple-real", cwd=tiny_space).stdout)
    assert {"tune@simple-real", "train@simple-real"} <= ran
    assert not {name for name in ran if "lenet" in name}
    found = json.loads((tiny_space / "data/tuned/simple-real.json").read_text())
    trials = pd.read_csv(tiny_space / "data/trials/simple-real.csv")
    assert len(trials) == 3
    [chosen] = trials[trials["chosen"]].to_dict("records")
    assert chosen["lr"] == found["lr"]
    history = pd.read_csv(tiny_space / "data/runs/simple-real/history.csv")
    assert history["seed"].nunique() == 2, "both replicates, with what one found"
    assert history["step"].max() == round(20 * found["steps"])
    first = history[history["seed"] == 0]
    assert first["val_accuracy"].max() == pytest.approx(chosen["score"], abs=1e-6)

    # Another replicate needs no other search; another number of trials goes on with the old ones.
    change(tiny_space, "train.replicates=3")
    again = run("dvc", "repro", "tune@simple-real", cwd=tiny_space).stdout
    assert "trial" not in again
    assert json.loads((tiny_space / "data/tuned/simple-real.json").read_text()) == found
    change(tiny_space, "train.tune.trials=4")
    run("dvc", "repro", "tune@simple-real", cwd=tiny_space)
    more = pd.read_csv(tiny_space / "data/trials/simple-real.csv")
    pd.testing.assert_frame_equal(more[:3].drop(columns="chosen"), trials.drop(columns="chosen"))


@pytest.mark.slow
def test_a_tuned_study_of_models_and_finetunes_says_so(tiny_space: Path) -> None:
    change(
        tiny_space,
        "train.budget=tuned",
        "train.tune.trials=2",
        "finetunes={more: {net: simple, init_from: simple-real, input_size: 16, num_steps: 4}}",
    )
    run("touchstone", "repro", "--jobs", "2", cwd=tiny_space)
    for name in ("lenet", "simple", "more"):
        for arm in ("real", "fixed"):
            assert len(pd.read_csv(tiny_space / f"data/trials/{name}-{arm}.csv")) == 2
    report = (tiny_space / "metrics/report.md").read_text()
    assert "The settings of each run, those on the baseline too, were searched" in report
    assert "untuned" not in report
    assert "Settings that were searched" in (tiny_space / "metrics/report.html").read_text()
    table = report.split("<!-- tuning:start -->")[1].split("<!-- tuning:end -->")[0]
    assert table.count("\n| ") >= 7

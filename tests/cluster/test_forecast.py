"""Tests the forecast of a run: the order of the stages decides the time, and each stage's work its seconds."""

from pathlib import Path
from typing import Any

import pytest

from kit.params import DEFAULT
from kit.pictures import lay
from touchstone.cluster.forecast import (
    AUDIT,
    COMPARED,
    FILED,
    FINDER,
    PRUNED,
    STORED,
    Counts,
    Forecast,
    Work,
    makespan,
    text,
)
from touchstone.config import yaml
from touchstone.config.load import settings_of
from touchstone.studies.timing import Pace

NAMES = ("lenet", "simple", "encoder")
PACE = Pace(
    step=dict.fromkeys(NAMES, 0.01),
    predicted=dict.fromkeys(NAMES, 0.001),
    cached=dict.fromkeys(NAMES, 0.0),
    fit_step={"dcgan": 0.02, "ddpm": 0.1},
    sampled={"dcgan": 0.001, "ddpm": 0.05},
    parameters=dict.fromkeys(NAMES, 1e6),
    searched={"image": 0.001, "original": 0.0001, "pair": 1e-6},
)
COUNTS = Counts(train=200, pool=1000, val=183, test=576, unlabelled=0)


def work(*changes: str, pace: Pace = PACE) -> Work:
    return Work(settings_of(yaml.changed(DEFAULT, list(changes))), COUNTS, pace, 256, 10, 0.002)


def test_stages_wait_for_what_they_need_and_for_a_free_slot() -> None:
    needs: dict[str, set[str]] = {"a": set(), "b": {"a"}, "c": {"a"}, "d": {"b", "c"}}
    seconds = {"a": 1.0, "b": 5.0, "c": 3.0, "d": 2.0}
    assert makespan(needs, {}, seconds, 1) == 11
    assert makespan(needs, {}, seconds, 2) == 8
    assert makespan(needs, {"a": {}}, {name: seconds[name] for name in "bcd"}, 2) == 7


def test_a_training_takes_its_steps_and_its_validations() -> None:
    found = work().seconds("train@lenet-real")
    assert found == pytest.approx(5 * (600 * 0.01 + 10 * 183 * 0.001))
    assert work("train.replicates=1", "train.vary=seed").seconds("train@lenet-fixed") == pytest.approx(found / 5)
    assert work("train.eval_steps=0", "train.num_steps=0", "train.epochs=4").seconds("train@lenet-fixed") > 0


def test_features_that_are_cached_are_computed_once() -> None:
    cached = Pace(**{**PACE.__dict__, "cached": {**PACE.cached, "lenet": 0.001}})
    assert work(pace=cached).seconds("train@lenet-real") == pytest.approx(5 * (600 * 0.01 + (200 + 183) * 0.001))


def test_a_probe_takes_its_features_and_its_fits() -> None:
    pace = Pace(**{**PACE.__dict__, "cached": {**PACE.cached, "lenet": 0.002}, "step": {**PACE.step, "lenet": 0.03}})
    probe = "data.channels=3", "models.lenet={probe: {}, weights: data/weights/a.pth}"
    assert work(*probe, pace=pace).seconds("train@lenet-real") == pytest.approx(5 * 200 * 0.032)
    same = work(*probe, "train.vary=seed", pace=pace)
    assert same.seconds("train@lenet-real") == pytest.approx(200 * 0.032), "equal replicates are fitted once"


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("predict@lenet-real", 5 * (183 + 576) * 0.001),
        ("fit@ddpm", 5 * 280 * 0.1),
        ("synthesize@ddpm", 5 * 60 * 10 * 0.05),
        ("tune@lenet-real", 0.0),
        ("find_lr@lenet", 0.0),
        (
            "audit",
            (200 + 2 * 600 + 4 * 1000) * (0.001 + 1e-6 * 576)
            + (1 + 2 + 4) * 576 * 0.0001
            + (576 + 2 * 600 + 4 * 200) * (0.001 + 1e-6 * 200)
            + (1 + 2 + 4) * 200 * 0.0001
            + 200 * 576 * (2 * AUDIT + COMPARED),
        ),
        ("download", FILED * (1000 + 183 + 576)),
        ("prepare", (STORED + 0.002) * (1000 + 183 + 576)),
    ],
)
def test_each_stage_has_its_own_work(stage: str, expected: float) -> None:
    assert work().seconds(stage) == pytest.approx(expected)


def test_explained_pictures_of_ones_own_count_as_test_images_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lay(tmp_path / "data/external/own", ["a.png", "more/b.png"])
    changes = ("explain.runs=[lenet-real]", "explain.max_teraflop=1e9")
    of_three = work(*changes, "explain.images=3").seconds("explain")
    assert of_three > 0
    both = work(*changes, "explain.images=1", "explain.pictures=data/external/own")
    assert both.seconds("explain") == pytest.approx(of_three)
    alone = work(*changes, "explain.images=2", "explain.pictures=data/external/own/a.png")
    assert alone.seconds("explain") == pytest.approx(of_three)


def test_searches_are_counted() -> None:
    one = work("train.replicates=1", "train.vary=seed").seconds("train@lenet-real")
    assert work("models.lenet.budget=tuned").seconds("tune@lenet-real") == pytest.approx(16 * PRUNED * one)
    assert work("models.lenet.lr=auto").seconds("find_lr@lenet") == pytest.approx(FINDER * 0.01)


def test_the_disk_holds_images_and_weights() -> None:
    assert work().disk(["prepare"]) == 256 * (1000 + 183 + 576)
    assert work().disk(["train@lenet-real"]) == 4 * 5 * 1e6


def test_the_table_names_the_stages_and_sums_up() -> None:
    seconds: dict[str, Any] = {"train@lenet-real": 120.0, "train@lenet-fixed": 60.0, "report": 1.0}
    told = text(Forecast(seconds, jobs=2, total=130.0, disk=2.5e9))
    assert "| train | 2 | 3.0 |" in told
    assert "| others | 1 | 0.0 |" in told
    assert "About 2.2 minutes with 2 at a time, and 2.5 GB of disk." in told

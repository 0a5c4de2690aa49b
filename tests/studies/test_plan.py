"""`touchstone plan`: the gains that a design can find, by the spread of a pilot or one that is given."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from kit.params import DEFAULT
from kit.project import ROOT, run
from touchstone.config import yaml
from touchstone.config.load import settings_of
from touchstone.config.settings import Settings
from touchstone.errors import TouchstoneError
from touchstone.evaluation.compare import Paired, compare_paired, judge
from touchstone.evaluation.design import Spread, smallest_gain
from touchstone.studies.plan import pilot_spread, plan

ONE_ARM = ("arms={real: {add: []}, fixed: {add: [tilt_left]}}", "models={lenet: {input_size: 32}}", "generators={}")
SPREAD = Spread(seeds=0.01, images=0.3)


def settings(*changes: str) -> Settings:
    return settings_of(yaml.changed(DEFAULT, ["ensembles={}", "explain.runs=[]", "finetunes={}", *changes]))


def test_more_seeds_find_smaller_gains_and_more_arms_need_larger_ones() -> None:
    one, five = settings(*ONE_ARM), settings("generators={}", *ONE_ARM[1:2], "arms=" + str(many_arms(5)))
    by_seeds = [smallest_gain(one, SPREAD, num_seeds=number, num_images=1000) for number in (3, 5, 10)]
    assert by_seeds == sorted(by_seeds, reverse=True)
    assert smallest_gain(five, SPREAD, num_seeds=10, num_images=1000) > by_seeds[-1]
    assert math.isnan(smallest_gain(one, SPREAD, num_seeds=2, num_images=1000)), "two seeds, and nothing to pool"


def many_arms(count: int) -> str:
    return "{real: {add: []}, " + ", ".join(f"a{i}: {{add: [tilt_left]}}" for i in range(count)) + "}"


def test_a_study_of_the_planned_size_finds_the_gain_four_times_in_five() -> None:
    planned = smallest_gain(settings(*ONE_ARM), SPREAD, num_seeds=5, num_images=1000)
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(1000):
        values = planned + rng.normal(0, 0.01, 5) + rng.normal(0, 0.3 / math.sqrt(1000))
        lone = compare_paired(Paired(values, 0.3**2 / 1000, 1000), confidence=0.95)
        found += judge([lone])[0].word == "helps"
    assert 0.75 <= found / 1000 <= 0.86


def test_the_spread_of_a_pilot_is_that_of_its_runs(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.json"
    row = {"gain_sd_seeds": 0.01, "gain_sd_images": 0.2}
    metrics.write_text(json.dumps({"a-real": {"accuracy": 1}, "a-x": row, "a-y": {**row, "gain_sd_seeds": 0.02}}))
    spread = pilot_spread(metrics, settings(*ONE_ARM))
    assert spread.images == pytest.approx(0.2)
    assert spread.seeds == pytest.approx(math.sqrt((0.01**2 + 0.02**2) / 2))
    metrics.write_text("{}")
    with pytest.raises(TouchstoneError, match="it has no gain with its spread"):
        pilot_spread(metrics, settings(*ONE_ARM))


def test_the_table_names_the_present_design_and_a_lone_baseline_is_refused() -> None:
    text = plan(settings(*ONE_ARM), SPREAD, num_images=500)
    assert "1 arm against the baseline, 1 model" in text
    assert "| 2 | no verdict | no verdict | no verdict |" in text
    assert re.search(r"\| 5, as in params.yaml \| [\d.]+ \| [\d.]+ \| [\d.]+ \|", text)
    with pytest.raises(TouchstoneError, match="there is only the baseline"):
        plan(settings("arms={real: {add: []}}", *ONE_ARM[1:]), SPREAD, num_images=500)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed-sd", "1"], "give both --seed-sd and --image-sd, or neither"),
        (["--seed-sd", "1", "--image-sd", "0", "--images", "9"], "expected 0 or more, and more than 0"),
        (["--images", "1"], "--images 1: expected at least 2"),
        (["--metrics", "nix.json"], "nix.json: no such file; give --seed-sd and --image-sd"),
        (["--seed-sd", "1", "--image-sd", "30"], "data/prepared/meta.json is not there yet"),
        (["--metrics", "merge.json"], "merge.json: not a metrics.json (Expecting value"),
        (["--metrics", "list.json"], "list.json: not a metrics.json ("),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, options: list[str], said: str) -> None:
    for name in ("params.yaml", "metrics/metrics.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "merge.json").write_text("<<<<<<< HEAD\n{}\n")
    (tmp_path / "list.json").write_text("[1, 2]\n")
    done = run("touchstone", "plan", *options, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr

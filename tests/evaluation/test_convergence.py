"""Curves with a planted course, and how often flat ones are given a false word."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kit.project import ROOT
from touchstone.config import yaml
from touchstone.config.load import settings_of
from touchstone.errors import TouchstoneError
from touchstone.evaluation.convergence import (
    OVERFITTED,
    SETTLED,
    STILL_FALLING,
    convergence,
    course_of,
    load_histories,
    word,
)

FLAT, FALLING, RISING = "flat", "falling", "rising"
NUM_STUDIES = 300


def losses(
    shape: str, rng: np.random.Generator, *, num_seeds: int, num_steps: int, noise: float = 0.04
) -> pd.DataFrame:
    """Losses (step x seed) that fall steeply at first, then take a shape; seeds differ in their level and by noise."""
    x = np.linspace(0, 1, num_steps + 1)[1:]
    late = {FLAT: 0 * x, FALLING: -0.8 * x, RISING: 0.4 * np.maximum(0, x - 0.3)}[shape]
    logs = np.log(0.4) + 3 * np.exp(-30 * x) + late
    wobble = rng.normal(0, 0.1, num_seeds) + rng.normal(0, noise, (num_steps, num_seeds))
    return pd.DataFrame(np.exp(logs[:, None] + wobble), index=60 * np.arange(1, num_steps + 1))


def shares(shape: str, *, num_seeds: int, num_steps: int, num_arms: int, noise: float = 0.04) -> dict[str, float]:
    """Word -> its share among the first runs of simulated models, whose other runs are flat."""
    rng = np.random.default_rng([num_seeds, num_steps, num_arms])
    size: dict[str, Any] = {"num_seeds": num_seeds, "num_steps": num_steps, "noise": noise}
    counts = dict.fromkeys((OVERFITTED, STILL_FALLING, SETTLED), 0)
    for _ in range(NUM_STUDIES):
        shapes = [shape, *[FLAT] * (num_arms - 1)]
        courses = [course for one in shapes if (course := course_of(losses(one, rng, **size))) is not None]
        counts[word(courses[0], courses)] += 1
    return {name: count / NUM_STUDIES for name, count in counts.items()}


@pytest.mark.parametrize("num_seeds", [1, 3, 5])
@pytest.mark.parametrize(("num_steps", "num_arms"), [(10, 1), (10, 5), (40, 1)])
def test_flat_noisy_curves_are_settled(num_seeds: int, num_steps: int, num_arms: int) -> None:
    """False words: 5 % of curves, with a margin of two standard errors."""
    settled = shares(FLAT, num_seeds=num_seeds, num_steps=num_steps, num_arms=num_arms)[SETTLED]
    assert 1 - settled <= 0.05 + 2 * (0.05 * 0.95 / NUM_STUDIES) ** 0.5


@pytest.mark.parametrize(("num_seeds", "num_steps"), [(3, 10), (3, 40), (5, 10), (1, 40)])
def test_overfitting_is_found(num_seeds: int, num_steps: int) -> None:
    """A rise of 28 % in the log from 30 % of the training on, with a noise of 4 % a validation."""
    assert shares(RISING, num_seeds=num_seeds, num_steps=num_steps, num_arms=1)[OVERFITTED] >= 0.8


@pytest.mark.parametrize(("num_seeds", "num_steps", "num_arms"), [(3, 40, 1), (5, 10, 1), (5, 40, 5)])
def test_a_loss_that_still_falls_is_found(num_seeds: int, num_steps: int, num_arms: int) -> None:
    """It falls by 8 % from tenth to tenth, with a noise of 2 % a validation."""
    found = shares(FALLING, num_seeds=num_seeds, num_steps=num_steps, num_arms=num_arms, noise=0.02)
    assert found[STILL_FALLING] >= 0.8


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_one_seed_in_three_that_wobbles_at_the_end_is_no_signal(factor: float) -> None:
    for number in range(50):
        loss = losses(FLAT, np.random.default_rng(number), num_seeds=3, num_steps=10)
        loss.iloc[-1, 0] *= factor
        course = course_of(loss)
        assert course is not None
        assert word(course, [course]) == SETTLED, number


def test_changes_too_small_to_explain_a_verdict_are_none() -> None:
    """Without noise any change is significant."""
    steps = pd.Index(range(1, 11))
    for change, expected in ((0.04, SETTLED), (0.06, OVERFITTED), (-0.01, SETTLED), (-0.03, STILL_FALLING)):
        seed = np.array([3.0, *[1.0] * 8, 1.0 + change])
        course = course_of(pd.DataFrame(np.stack([seed, 1.5 * seed, 2 * seed * [*[1] * 9, 1.0001]], 1), index=steps))
        assert course is not None
        assert word(course, [course]) == expected, change
    near_zero = pd.DataFrame({0: [1, 1e-5, 1e-5, 2e-5, 4e-5], 1: [1, 1e-5, 1e-5, 2e-5, 5e-5]}, index=range(1, 6))
    course = course_of(near_zero)
    assert course is not None
    assert word(course, [course]) == SETTLED, "a loss of almost 0 may double"


def test_a_loss_that_is_lowest_shortly_before_the_end_is_not_overfitted() -> None:
    seed = np.array([4.0, 3.0, 2.8, 2.6, 2.4, 2.2, 2.0, 1.8, 0.9, 1.7])
    course = course_of(pd.DataFrame(np.outer(seed, [1, 1.1, 1.2]), index=range(1, 11)))
    assert course is not None
    assert course.lowest_step == 9
    assert word(course, [course]) == SETTLED


def history(*seeds: list[float]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"step": range(1, 1 + len(loss)), "val_loss": loss, "seed": i}) for i, loss in enumerate(seeds)
    ]
    return pd.concat(parts, ignore_index=True)


def rows(first: pd.DataFrame, diverged: dict[str, str] | None = None) -> dict[str, float | str]:
    """The entries of the first run of a model with two arms."""
    text = (ROOT / "recipes/digits/params.yaml").read_text()
    values = ["arms={real: {add: []}, repeat: {add: [repeat]}}", "models={one: {net: lenet}}", "explain.runs=[]"]
    settings = settings_of(yaml.changed(text, [*values, "ensembles={}"]))
    other = history(*[[3.0, 1.0, 1.01, 0.99, 1.0]] * 3)
    return convergence(
        {"one-real": first, "one-repeat": other}, settings, {"one-real": diverged or {}, "one-repeat": {}}
    )["one-real"]


def test_the_entries_of_metrics_json() -> None:
    rising = [3.0, 1.0, 1.2, 1.4, 1.5]
    found = rows(history(rising, rising, [2 * loss for loss in rising]))
    assert found == {
        "convergence": OVERFITTED,
        "val_lowest_step": 2,
        "val_rise": 0.5,
        "val_change": pytest.approx(1.5 / 1.4 - 1, abs=1e-5),
    }


def test_seeds_that_diverged_do_not_count_and_others_are_compared_where_all_were_validated() -> None:
    rising = [3.0, 1.0, 1.2, 1.4, 1.5]
    sound = rows(history(rising, rising, rising))
    failed = rows(history(rising, rising, rising, [3.0, 0.1, 0.1]), {"3": "diverged"})
    assert failed == sound
    stopped_early = rows(history(rising, rising, rising[:4]))
    assert stopped_early["val_rise"] == pytest.approx(0.4)


def test_a_run_with_one_sound_seed_lends_no_variance_to_others() -> None:
    alone = course_of(losses(FLAT, np.random.default_rng(0), num_seeds=1, num_steps=10, noise=0.0))
    for number in (6, 11, 37, 39):  # with its variance of 0 in the mean, these words change
        rng = np.random.default_rng(number)
        first, second = (course_of(losses(RISING, rng, num_seeds=3, num_steps=10, noise=0.1)) for _ in range(2))
        assert first is not None
        assert second is not None
        assert alone is not None
        assert word(first, [first, second, alone]) == word(first, [first, second]), number


def test_there_is_no_word_without_validation_images_without_a_sound_seed_or_with_too_few_validations() -> None:
    assert rows(history([1.0, 2.0]).drop(columns="val_loss")) == {}
    assert rows(history([1.0, 2.0]), {"0": "diverged"}) == {}
    assert rows(history([1.0], [1.0])) == {}
    assert rows(history([3.0, 1.0, 2.0, 2.5])) == {}, "one seed with so few validations shows no noise"
    assert rows(history([3.0, 1.0, 1.0, 1.0, 1.0]))["convergence"] == SETTLED


def test_a_missing_history_is_named(tmp_path: Path) -> None:
    with pytest.raises(TouchstoneError, match=r"a-real/history.csv: no readable history .* run `dvc repro`"):
        load_histories(tmp_path, ["a-real"])

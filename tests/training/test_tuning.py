"""The search for a run's settings: its trials, its halving, what it may change, and that it resumes."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from kit.params import load, message
from kit.training import Killed, interrupt, new_run
from touchstone.config.schema.augmentation import DETAILS, Augmentation
from touchstone.config.schema.model import Phase
from touchstone.config.schema.tune import TRIAL_COLUMNS, Tune, Tuned
from touchstone.errors import TouchstoneError
from touchstone.training import tuning
from touchstone.training.callback import TrainingCallback
from touchstone.training.setup import scheduled_phases
from touchstone.training.tuning import tune

SEARCH = Tune(trials=8, strength=0.0)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tuned, pd.DataFrame]:
    """A search that begins with a learning rate far too small."""
    return tune(new_run(lr=1e-4), SEARCH, store=tmp_path_factory.mktemp("searched"))


def test_a_search_begins_with_the_own_settings_and_finds_better_ones(searched: tuple[Tuned, pd.DataFrame]) -> None:
    found, trials = searched
    assert list(trials) == list(TRIAL_COLUMNS)
    assert trials["trial"].tolist() == list(range(8))
    own = trials.iloc[0]
    assert (own["lr"], own["steps"], own["strength"], own["state"]) == (1, 1, 1, "complete")
    assert pd.isna(own["weight_decay"])
    assert own["last_step"] == 30
    assert found.lr > 1
    [chosen] = trials[trials["chosen"]].to_dict("records")
    assert chosen["score"] > own["score"]
    assert (chosen["lr"], chosen["steps"], chosen["strength"]) == (found.lr, found.steps, found.strength)
    complete = trials[trials["state"] == "complete"]
    assert chosen["score"] == complete["score"].max()


def test_the_worse_half_ends_after_a_quarter_or_a_half_of_its_steps(searched: tuple[Tuned, pd.DataFrame]) -> None:
    _, trials = searched
    pruned = trials[trials["state"] == "pruned"]
    assert 2 <= len(pruned) <= 6
    shares = pruned["last_step"] / (30 * pruned["steps"])
    assert shares.between(0.25, 0.85).all()
    assert not pruned["chosen"].any()


def test_trials_are_halved_within_their_last_phase(tmp_path: Path) -> None:
    """Under a frozen phase of two thirds of the steps, a quarter of all steps would lie in it."""
    phases = ({"num_steps": 60, "trainable": ("head",)}, {"num_steps": 30})
    _, trials = tune(new_run(lr=1e-4, eval_steps=3, phases=phases), SEARCH, store=tmp_path)
    pruned = trials[trials["state"] == "pruned"]
    assert len(pruned)
    shares = (pruned["last_step"] - 60 * pruned["steps"]) / (30 * pruned["steps"])
    assert shares.between(0.2, 0.85).all()


def test_the_trials_are_trainings_with_these_settings(searched: tuple[Tuned, pd.DataFrame], tmp_path: Path) -> None:
    found, trials = searched
    run = new_run(lr=1e-4)
    settings = run.settings.tuned(found)
    tuned = replace(run, settings=settings, phases=scheduled_phases(settings, len(run.data)))
    done = tuning.train_seed(tuned, seed=0, state_file=tmp_path / "state.pt")
    best = max((row["val_accuracy"], -row["val_loss"]) for row in done.history)
    [chosen] = trials[trials["chosen"]].to_dict("records")
    assert best == pytest.approx((chosen["score"], -chosen["val_loss"]), abs=1e-6)


@pytest.mark.parametrize("engine", ["lightning", "torch"])
def test_a_killed_search_goes_on_to_the_same_trials(
    engine: str, searched: tuple[Tuned, pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, first = new_run(lr=1e-4, engine=engine, save_seconds=0.0), {"store": tmp_path}
    start, num_steps = TrainingCallback.before_step, 0

    def dying(self: TrainingCallback) -> None:
        nonlocal num_steps
        num_steps += 1
        if num_steps in (3, 45, 78, 110):  # in this process or in the next one: inside trials, and between two
            raise Killed
        start(self)

    monkeypatch.setattr(TrainingCallback, "before_step", dying)
    for _ in range(4):
        with pytest.raises(Killed):
            tune(run, SEARCH, **first)
    found, trials = tune(run, SEARCH, **first)
    assert found == searched[0]
    pd.testing.assert_frame_equal(trials, searched[1])
    interrupt(monkeypatch, 0)
    pd.testing.assert_frame_equal(tune(run, SEARCH, **first)[1], trials)  # nothing is trained again


def test_a_longer_search_begins_with_the_trials_of_a_shorter_one(
    searched: tuple[Tuned, pd.DataFrame], tmp_path: Path
) -> None:
    _, short = tune(new_run(lr=1e-4), SEARCH.model_copy(update={"trials": 3}), store=tmp_path)
    same = [name for name in TRIAL_COLUMNS if name != "chosen"]
    pd.testing.assert_frame_equal(short[same], searched[1][same][:3])
    found, trials = tune(new_run(lr=1e-4), SEARCH, store=tmp_path)
    pd.testing.assert_frame_equal(trials, searched[1])
    assert found == searched[0]


def test_arms_share_the_first_trials(searched: tuple[Tuned, pd.DataFrame], tmp_path: Path) -> None:
    _, trials = tune(new_run(lr=1e-4, batch_size=5), SEARCH, store=tmp_path)
    settings = list(Tuned.model_fields)
    pd.testing.assert_frame_equal(trials[settings], searched[1][settings])


def test_diverged_trials_are_kept_and_never_chosen(tmp_path: Path) -> None:
    wild = Tune(trials=6, lr=(1.0, 1e30), weight_decay=(), steps=(1.0, 1.0), strength=1.0)
    found, trials = tune(new_run(lr=0.01, schedule="constant", on_divergence="fail"), wild, store=tmp_path)
    assert (trials["state"] == "diverged").sum() >= 2
    assert not trials[trials["state"] == "diverged"]["chosen"].any()
    assert found == Tuned(lr=found.lr)
    assert (trials[["steps", "strength"]] == 1).all(axis=None)
    assert trials["weight_decay"].isna().all()


def test_last_weights_are_judged_by_the_last_validation_loss(tmp_path: Path) -> None:
    _, trials = tune(new_run(select="last"), Tune(trials=4), store=tmp_path)
    assert (trials["score"] == -trials["val_loss"]).all()
    [chosen] = trials[trials["chosen"]].to_dict("records")
    assert chosen["val_loss"] == trials[trials["state"] == "complete"]["val_loss"].min()


def test_a_search_needs_validation_images(tmp_path: Path) -> None:
    with pytest.raises(TouchstoneError, match=r"t: budget: tuned chooses settings on validation images, and there are"):
        tune(new_run(val=0, select="last"), SEARCH, store=tmp_path)


def test_what_a_search_changes() -> None:
    phase = Phase(num_steps=100, lr=0.02, weight_decay=0.1, crop_padding=4, hflip=True, jitter_hue=0.2, mixup=0.4)
    assert phase.tuned(Tuned()) == phase
    half = phase.tuned(Tuned(lr=0.5, steps=1.5, strength=0.5))
    assert (half.lr, half.num_steps, half.epochs) == (0.01, 150, 0)
    assert (half.weight_decay, half.crop_padding, half.jitter_hue, half.mixup) == (0.1, 2, 0.1, 0.2)
    assert half.hflip
    none = phase.tuned(Tuned(weight_decay=0.0, strength=0.0))
    assert none.weight_decay == 0
    assert none.model_copy(update={"hflip": False}).augments is False
    assert not none.mixes
    crop = Phase(epochs=3, crop_scale=0.5).tuned(Tuned(steps=0.1, strength=0.5))
    assert (crop.crop_scale, crop.epochs) == (0.75, 1)


def test_strength_reaches_every_online_operation() -> None:
    """But flips, and settings that say how an image is changed and not by how much."""
    names = [name for name in Augmentation.model_fields if name not in DETAILS] + ["mixup", "cutmix"]
    assert "rotate_deg" in names
    for name in names:
        value = {"hflip": True, "crop_padding": 2, "policy": "augmix"}.get(name, 0.25)
        scalable = Phase(num_steps=1, **{name: value}).scalable
        assert bool(scalable) == (name != "hflip"), name
        assert set(scalable) <= {name, "policy_strength"}


def test_without_online_augmentation_its_strength_is_not_searched(tmp_path: Path) -> None:
    _, trials = tune(new_run(crop_padding=0), SEARCH.model_copy(update={"trials": 3}), store=tmp_path)
    assert (trials["strength"] == 1).all()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("train.tune.trials=1", "train.tune.trials: got 1"),
        ("train.tune.trails=3", "did you mean trials?"),
        ("train.tune.lr=[2, 3]", "train.tune.lr: got (2, 3), expected the smallest and the largest factor"),
        ("train.tune.lr=[0.1]", "train.tune.lr"),
        ("train.tune.strength=2", "train.tune.strength: got 2"),
        ("train.tune.weight_decay=[0.1, 0.1]", "train.tune.weight_decay: got (0.1, 0.1), 0.1 is listed twice"),
        ("audit.encoder.budget=tuned", "audit.encoder.budget: is not for the encoder"),
        ("models.lenet.tune={trials: 3}", "models.lenet.tune: unknown key"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, change: str, expected: str) -> None:
    assert expected in message(tmp_path, change)


def test_a_model_may_be_tuned_and_another_not(tmp_path: Path) -> None:
    settings = load(tmp_path, "models.lenet.budget=tuned", "train.tune={trials: 5, lr: [1, 4]}")
    assert settings.tuned == ["lenet"]
    assert settings.train.tune.lr == (1, 4)

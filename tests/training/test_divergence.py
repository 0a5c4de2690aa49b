"""Training that leads nowhere is stopped by name; the last finite weights stay; other seeds go on."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from kit.training import Killed, interrupt, job, same
from touchstone.errors import TouchstoneError
from touchstone.models.nets import build
from touchstone.models.predict import batches, logits
from touchstone.training.classifier import Classifier
from touchstone.training.divergence import MIN_STEPS, Watch
from touchstone.training.keeper import Keeper
from touchstone.training.run import deliver, done, train
from touchstone.training.seed import Trained, train_seed

META = {"classes": ["a", "b"], "channels": 1, "image_size": 16, "resize": "squash", "max_pixels": 10**6}


def trained(folder: Path, *, seed: int = 0, **changes: object) -> Trained:
    return train_seed(job(**{"schedule": "constant", **changes}), seed=seed, state_file=folder / "s.pt")


def finite(found: Trained) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in found.weights.values())


@pytest.mark.parametrize("engine", ["lightning", "torch"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_far_too_high_a_rate_ends_within_two_epochs_by_name(
    tmp_path: Path, optimizer: str, engine: str, capsys
) -> None:
    found = trained(tmp_path, lr=10.0, optimizer=optimizer, engine=engine, num_steps=300)
    assert found.diverged is not None
    assert found.diverged.epoch <= 2 + 1 / 3, "an epoch's last step may belong to the next as well"
    assert finite(found)
    assert found.history[-1]["step"] == found.diverged.step < 300
    text = str(found.diverged)
    assert "the training loss is" in text
    assert "lower lr from 10 to 1, say, or set it to auto, clip gradients (clip_norm)" in text
    assert f"t seed 0: {text}" in capsys.readouterr().out


def test_a_sound_rate_does_not(tmp_path: Path) -> None:
    assert trained(tmp_path, lr=1e-3, num_steps=300).diverged is None


def test_the_weights_are_the_last_finite_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss becomes infinite at step 17; weights were sound at the validation of step 15."""
    after, sound = Keeper.after, {}

    def poisoned(self: Keeper, trainee, outputs) -> None:
        if self.progress.step == 14:  # the step done is the fifteenth
            sound.update({k: v.clone() for k, v in trainee.classifier.net.state_dict().items()})
        if self.progress.step == 16:
            with torch.no_grad():
                trainee.classifier.net[0].weight.fill_(float("nan"))
            outputs = outputs | {"loss": torch.tensor(float("inf"))}
        after(self, trainee, outputs)

    monkeypatch.setattr(Keeper, "after", poisoned)
    found = trained(tmp_path, select="last", lr=0.001)
    assert found.diverged is not None
    assert found.diverged.step == 18, "the end of the epoch"
    assert found.selected_step == 15
    assert same(found.weights, sound)


def test_before_any_validation_the_first_weights_are_kept(tmp_path: Path) -> None:
    found = trained(tmp_path, lr=1e30, optimizer="sgd", eval_steps=30)
    assert found.diverged is not None
    assert found.selected_step == 0
    first = trained(tmp_path, lr=1e-12, num_steps=1)
    assert all(torch.allclose(value, first.weights[name], atol=1e-9) for name, value in found.weights.items())


def deafen(monkeypatch: pytest.MonkeyPatch) -> None:
    """No unit of the first layer answers to anything from step 5 on."""
    before = Keeper.before

    def deaf(self: Keeper, trainee) -> None:
        if self.progress.step == 5:
            with torch.no_grad():
                trainee.classifier.net[0].bias.fill_(-1e6)
        before(self, trainee)

    monkeypatch.setattr(Keeper, "before", deaf)


def test_predictions_fallen_to_one_class_are_divergence_and_slow_starts_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deafen(monkeypatch)
    dead = trained(tmp_path, num_steps=400)
    assert dead.diverged is not None
    assert "predicted to be of one class" in dead.diverged.reason
    assert MIN_STEPS <= dead.diverged.step < MIN_STEPS + 20
    assert trained(tmp_path, num_steps=400, collapse_epochs=0).diverged is None
    assert trained(tmp_path, num_steps=190).diverged is None, "too early to say"


def test_the_watch_by_numbers() -> None:
    watch = Watch(equal=math.log(10), alike="to be of one class", chance=2.0, collapse_epochs=2, steps_per_epoch=300)
    assert watch.look(loss=99.0, epoch_loss=46.0, collapsed_steps=0) == ""
    assert watch.look(loss=99.0, epoch_loss=None, collapsed_steps=0) == "", "within an epoch a spike may pass"
    assert "20 times" in watch.look(loss=2.0, epoch_loss=46.1, collapsed_steps=0)
    assert "not finite" in watch.look(loss=float("nan"), epoch_loss=None, collapsed_steps=0)
    assert watch.look(loss=2.0, epoch_loss=2.0, collapsed_steps=599) == ""
    assert "for 600 steps" in watch.look(loss=2.0, epoch_loss=2.0, collapsed_steps=600)
    dead = {"loss": 1.99, "lowest": 9.0, "varied": False, "spread": 0.0, "batch_size": 8}
    assert watch.is_deaf(**dead)
    assert watch.is_deaf(**dead | {"spread": 0.1, "lowest": 1.0}), "it had learned something before"
    assert not watch.is_deaf(**dead | {"spread": 0.1}), "it starts slowly"
    assert not watch.is_deaf(**dead | {"loss": 1.9}), "better than any one answer: the majority class, soundly"
    assert not watch.is_deaf(**dead | {"varied": True})
    assert not watch.is_deaf(**dead | {"batch_size": 1})


@pytest.mark.parametrize("lr", [1.0, 10.0, 100.0, 1000.0])
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop"])
def test_what_is_kept_answers_with_finite_numbers(tmp_path: Path, optimizer: str, lr: float) -> None:
    """Exploded weights may be finite and their answers not: the rest of the pipeline has to go on with them."""
    changes = {"optimizer": optimizer, "eval_steps": 1, "crop_padding": 0, "hflip": False, "engine": "torch"}
    for val in (20, 0):
        (tmp_path / "s.pt").unlink(missing_ok=True)
        one = job(lr=lr, schedule="constant", val=val, select="last", **changes)
        found = train_seed(one, seed=0, state_file=tmp_path / "s.pt")
        net = build("lenet", num_classes=2, in_channels=1, input_size=16, options={})
        net.load_state_dict(found.weights)
        answers = (
            logits(Classifier(net, head="11", mean=one.mean, std=one.std), batches(one.val, one.view)) if val else None
        )
        assert answers is None or torch.isfinite(answers).all()
        assert found.diverged is not None or lr == 1.0


def test_the_last_update_is_judged_too(tmp_path: Path) -> None:
    found = train_seed(
        job(lr=1e38, optimizer="sgd", num_steps=1, schedule="constant", val=0), seed=0, state_file=tmp_path / "s"
    )
    assert found.diverged is not None
    assert "what the net answers is not finite" in found.diverged.reason
    assert finite(found)


@pytest.mark.parametrize("changes", [{"warmup_epochs": 200.0, "lr": 0.003}, {"lr": 2e-5}])
def test_a_slow_start_is_no_divergence(tmp_path: Path, changes: dict) -> None:
    assert trained(tmp_path, num_steps=600, engine="torch", **changes).diverged is None


def test_it_can_be_fatal(tmp_path: Path) -> None:
    with pytest.raises(TouchstoneError, match=r"t seed 0: diverged after [\d.]+ epochs, at step \d+: the"):
        trained(tmp_path, lr=10.0, on_divergence="fail")


def test_killed_before_it_diverges_it_diverges_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    changes = {"num_steps": 400, "select": "last"}
    deafen(monkeypatch)
    whole = trained(tmp_path / "a", **changes)
    assert whole.diverged is not None
    with monkeypatch.context() as patch:
        interrupt(patch, 190)
        with pytest.raises(Killed):
            trained(tmp_path, save_seconds=0.0, **changes)
    again = trained(tmp_path, **changes)
    assert again.diverged == whole.diverged
    assert same(again.weights, whole.weights)
    assert again.history == whole.history


def test_other_seeds_go_on_and_the_run_says_which_diverged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Keeper.before

    def poisoned(self: Keeper, trainee) -> None:
        if self.seed == 1 and self.progress.step == 10:
            with torch.no_grad():
                trainee.classifier.net[0].weight.fill_(float("nan"))
        before(self, trainee)

    monkeypatch.setattr(Keeper, "before", poisoned)
    task = job(seeds=(0, 1, 2))
    found = train(task, store=tmp_path / "store", fingerprint="x")
    assert [one.diverged is not None for one in found] == [False, True, False]
    again = train(task, store=tmp_path / "store", fingerprint="x")
    assert str(again[1].diverged) == str(found[1].diverged), "it is remembered"
    (tmp_path / "run").mkdir()
    deliver(tmp_path / "run", task, again, meta=META)
    done(task, store=tmp_path / "store", fingerprint="x")
    card = json.loads((tmp_path / "run/model.json").read_text())
    assert card["diverged"] == {"1": str(found[1].diverged)}
    assert set(card["weights"]) == {"0", "1", "2"}
    assert np.isfinite([row["train_loss"] for row in found[0].history]).all()

"""Training that diverges is stopped with a reason, its last finite weights are kept, and other seeds go on."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from kit.training import Killed, interrupt, new_run, same
from touchstone.errors import TouchstoneError
from touchstone.models.nets import build
from touchstone.models.predict import batches, logits
from touchstone.training.callback import TrainingCallback
from touchstone.training.classifier import Classifier
from touchstone.training.divergence import MIN_STEPS, DivergenceMonitor
from touchstone.training.loop import Trained, train_seed
from touchstone.training.run import deliver, train

META = {"classes": ["a", "b"], "channels": 1, "image_size": 16, "resize": "squash", "max_pixels": 10**6}


def trained(folder: Path, *, seed: int = 0, **changes: object) -> Trained:
    return train_seed(new_run(**{"schedule": "constant", **changes}), seed=seed, state_file=folder / "s.pt")


def finite(result: Trained) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in result.weights.values())


@pytest.mark.parametrize("engine", ["lightning", "torch"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_far_too_high_a_rate_ends_within_two_epochs_with_a_reason(
    tmp_path: Path, optimizer: str, engine: str, capsys
) -> None:
    result = trained(tmp_path, lr=10.0, optimizer=optimizer, engine=engine, num_steps=300)
    assert result.diverged is not None
    assert result.diverged.epoch <= 2 + 1 / 3, "an epoch's last step may belong to the next as well"
    assert finite(result)
    assert result.history[-1]["step"] == result.diverged.step < 300
    text = str(result.diverged)
    assert "the training loss is" in text
    assert "lower lr from 10 to 1, clip gradients (clip_norm)" in text
    assert f"t seed 0: {text}" in capsys.readouterr().out


def test_a_sound_rate_does_not(tmp_path: Path) -> None:
    assert trained(tmp_path, lr=1e-3, num_steps=300).diverged is None


def test_the_weights_are_the_last_finite_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss becomes infinite at step 17; weights were sound at the validation of step 15."""
    after, sound = TrainingCallback.after_step, {}

    def poisoned(self: TrainingCallback, outputs) -> None:
        if self.state.step == 14:  # the step done is the fifteenth
            sound.update({k: v.clone() for k, v in self.phase.classifier.net.state_dict().items()})
        if self.state.step == 16:
            with torch.no_grad():
                self.phase.classifier.net[0].weight.fill_(float("nan"))
            outputs = outputs | {"loss": torch.tensor(float("inf"))}
        after(self, outputs)

    monkeypatch.setattr(TrainingCallback, "after_step", poisoned)
    result = trained(tmp_path, select="last", lr=0.001)
    assert result.diverged is not None
    assert result.diverged.step == 18, "the end of the epoch"
    assert result.selected_step == 15
    assert same(result.weights, sound)


def test_before_any_validation_the_first_weights_are_kept(tmp_path: Path) -> None:
    result = trained(tmp_path, lr=1e30, optimizer="sgd", eval_steps=30)
    assert result.diverged is not None
    assert result.selected_step == 0
    first = trained(tmp_path, lr=1e-12, num_steps=1)
    assert all(torch.allclose(value, first.weights[name], atol=1e-9) for name, value in result.weights.items())


def deafen(monkeypatch: pytest.MonkeyPatch) -> None:
    """From step 5 on, the first layer is 0 whatever its input."""
    before = TrainingCallback.before_step

    def deaf(self: TrainingCallback) -> None:
        if self.state.step == 5:
            with torch.no_grad():
                self.phase.classifier.net[0].bias.fill_(-1e6)
        before(self)

    monkeypatch.setattr(TrainingCallback, "before_step", deaf)


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


def test_the_monitor_by_numbers() -> None:
    monitor = DivergenceMonitor(
        uniform_loss=math.log(10),
        collapse_text="to be of one class",
        chance_loss=2.0,
        collapse_epochs=2,
        steps_per_epoch=300,
    )
    assert monitor.check(loss=99.0, epoch_loss=46.0, collapsed_steps=0) == ""
    assert monitor.check(loss=99.0, epoch_loss=None, collapsed_steps=0) == "", "within an epoch a spike may pass"
    assert "20 times" in monitor.check(loss=2.0, epoch_loss=46.1, collapsed_steps=0)
    assert "not finite" in monitor.check(loss=float("nan"), epoch_loss=None, collapsed_steps=0)
    assert monitor.check(loss=2.0, epoch_loss=2.0, collapsed_steps=599) == ""
    assert "for 600 steps" in monitor.check(loss=2.0, epoch_loss=2.0, collapsed_steps=600)
    same = torch.tensor([[1.0, 3.0]]).repeat(8, 1)  # logits of 8 images, all predicted to be of class 1
    spread, varied = same.clone(), same.clone()
    spread[0, 1], varied[0, 1] = 2.7, 0.0

    def is_collapsed(logits: torch.Tensor, *, loss: float = 1.99, lowest: float = 9.0) -> bool:
        return monitor.is_collapsed(logits, logits.argmax(1), loss=loss, lowest=lowest)

    assert is_collapsed(same)
    assert is_collapsed(spread, lowest=1.0), "it had learned something before"
    assert not is_collapsed(spread), "it starts slowly"
    assert not is_collapsed(same, loss=1.9), (
        "a sound net that predicts the majority class: better than any constant answer"
    )
    assert not is_collapsed(varied, lowest=1.0), "predictions differ"
    assert not is_collapsed(same[:1]), "one image says nothing"


@pytest.mark.parametrize("lr", [1.0, 10.0, 100.0, 1000.0])
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop"])
def test_what_is_kept_answers_with_finite_numbers(tmp_path: Path, optimizer: str, lr: float) -> None:
    """Exploded weights may be finite while their outputs are not, and the rest of the pipeline needs finite outputs."""
    changes = {"optimizer": optimizer, "eval_steps": 1, "crop_padding": 0, "hflip": False, "engine": "torch"}
    for val in (20, 0):
        (tmp_path / "s.pt").unlink(missing_ok=True)
        one = new_run(lr=lr, schedule="constant", val=val, select="last", **changes)
        result = train_seed(one, seed=0, state_file=tmp_path / "s.pt")
        net = build("lenet", num_classes=2, in_channels=1, input_size=16, options={})
        net.load_state_dict(result.weights)
        answers = (
            logits(Classifier(net, head="11", mean=one.mean, std=one.std), batches(one.val, one.view)) if val else None
        )
        assert answers is None or torch.isfinite(answers).all()
        assert result.diverged is not None or lr == 1.0


def test_the_last_update_is_judged_too(tmp_path: Path) -> None:
    result = train_seed(
        new_run(lr=1e38, optimizer="sgd", num_steps=1, schedule="constant", val=0), seed=0, state_file=tmp_path / "s"
    )
    assert result.diverged is not None
    assert "what the net answers is not finite" in result.diverged.reason
    assert finite(result)


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
    before = TrainingCallback.before_step

    def poisoned(self: TrainingCallback) -> None:
        if self.seed == 1 and self.state.step == 10:
            with torch.no_grad():
                self.phase.classifier.net[0].weight.fill_(float("nan"))
        before(self)

    monkeypatch.setattr(TrainingCallback, "before_step", poisoned)
    run = new_run(seeds=(0, 1, 2))
    result = train(run, store=tmp_path / "store", fingerprint="x")
    assert [one.diverged is not None for one in result] == [False, True, False]
    again = train(run, store=tmp_path / "store", fingerprint="x")
    assert str(again[1].diverged) == str(result[1].diverged), "it is remembered"
    (tmp_path / "run").mkdir()
    deliver(tmp_path / "run", run, again, meta=META)
    metadata = json.loads((tmp_path / "run/model.json").read_text())
    assert metadata["diverged"] == {"1": str(result[1].diverged)}
    assert set(metadata["weights"]) == {"0", "1", "2"}
    assert np.isfinite([row["train_loss"] for row in result[0].history]).all()

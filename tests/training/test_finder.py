"""The learning-rate finder: its curve, its suggestion, and what it does not use."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from kit.training import new_run
from touchstone.errors import TouchstoneError
from touchstone.training import finder
from touchstone.training.finder import HIGHEST, LOWEST, NUM_STEPS, find_lr, suggest
from touchstone.training.loop import train_seed


def test_the_suggestion_is_where_the_loss_falls_most_steeply() -> None:
    lr = np.geomspace(1e-6, 10, 200)
    for centre in (1e-3, 0.03):
        falling = 2.3 - 1.5 / (1 + np.exp(-3 * (np.log(lr) - np.log(centre))))
        rising = np.where(lr > 20 * centre, 5 * np.log(lr / (20 * centre)), 0)
        assert suggest(lr, falling + rising)[0] == pytest.approx(centre, rel=0.1)


def test_a_loss_that_never_falls_is_named() -> None:
    lr = np.geomspace(1e-6, 10, 200)
    with pytest.raises(TouchstoneError, match="lenet: the learning-rate finder saw no loss fall between 1e-06 and 10"):
        suggest(lr, 2.3 + lr, title="lenet")
    for seed in range(20):
        with pytest.raises(TouchstoneError, match="saw no loss fall"):
            suggest(lr, 2.3 + np.random.default_rng(seed).normal(0, 0.05, 200))
    with pytest.raises(TouchstoneError, match="saw no loss fall"):
        suggest(lr[:0], lr[:0])


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_curve_and_training_at_what_it_suggests(tmp_path, optimizer: str) -> None:
    suggestion, curve = find_lr(new_run(optimizer=optimizer, lr=1.0))
    assert list(curve) == ["lr", "loss", "smoothed"]
    assert curve["lr"][0] == pytest.approx(LOWEST)
    assert curve["lr"].is_monotonic_increasing
    assert len(curve) == NUM_STEPS or curve["lr"].iloc[-1] < HIGHEST, "it may end before, where the loss explodes"
    assert curve["loss"].iloc[:20].mean() == pytest.approx(np.log(2), abs=0.3)
    assert LOWEST < suggestion < 1
    again, _ = find_lr(
        new_run(optimizer=optimizer, lr=0.5, schedule="cosine", ema_decay=0.9, accumulate=2, clip_norm=1e-4)
    )
    assert again == suggestion, "settings that a search leaves out change nothing"
    done = train_seed(new_run(optimizer=optimizer, lr=suggestion), seed=0, state_file=tmp_path / "s.pt")
    assert done.diverged is None
    assert done.history[-1]["val_accuracy"] > 0.8


def test_it_looks_at_no_validation_image() -> None:
    one = new_run(lr=1.0)
    assert find_lr(replace(one, val=None))[0] == find_lr(one)[0]  # type: ignore[arg-type]


def test_an_exploding_loss_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finder, "HIGHEST", 1e12)
    _, curve = find_lr(new_run(optimizer="sgd", lr=1.0))
    assert len(curve) < NUM_STEPS
    assert np.isfinite(curve["smoothed"]).all()
    assert torch.isfinite(torch.tensor(curve["loss"].to_numpy())).all()

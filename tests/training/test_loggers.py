"""Optional loggers get the rows of the history, and change nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from kit.training import Killed, interrupt, new_run, same
from touchstone.config.schema.machine import Machine
from touchstone.errors import TouchstoneError
from touchstone.training.loggers import check_loggers
from touchstone.training.loop import Trained, train_seed
from touchstone.training.setup import TrainingRun


def logged(*names: str, **changes: object) -> TrainingRun:
    one = new_run(**changes)
    return replace(one, machine=one.machine.model_copy(update={"loggers": names}))


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Trained without a logger, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return train_seed(new_run(), seed=0, state_file=tmp_path / "whole.pt")


def test_tensorboard_has_every_row_once_also_after_a_kill(
    whole: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with monkeypatch.context() as patch:
        interrupt(patch, 17)
        with pytest.raises(Killed):
            train_seed(logged("tensorboard", save_seconds=0.0), seed=0, state_file=tmp_path / "s.pt")
    done = train_seed(logged("tensorboard"), seed=0, state_file=tmp_path / "s.pt")
    assert same(done.weights, whole.weights)
    events = EventAccumulator(str(tmp_path / ".touchstone/logs/tensorboard/t/seed-0")).Reload()
    assert set(events.Tags()["scalars"]) == {"epoch", "train_loss", "lr", "val_loss", "val_accuracy"}
    for name in ("train_loss", "lr"):
        rows = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in rows] == [row["step"] for row in whole.history]
        assert [value for _, value in rows] == pytest.approx([row[name] for row in whole.history], rel=1e-6, abs=1e-12)


def test_wandb_writes_offline(whole: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    rows = []
    log = wandb.sdk.wandb_run.Run.log

    def watching(self, data, step=None, **more):
        rows.append((step, data))
        return log(self, data, step=step, **more)

    monkeypatch.setattr(wandb.sdk.wandb_run.Run, "log", watching)
    done = train_seed(logged("wandb"), seed=0, state_file=tmp_path / "s.pt")
    assert same(done.weights, whole.weights)
    assert rows == [(row["step"], {k: v for k, v in row.items() if k != "step"}) for row in whole.history]
    wandb.teardown()  # a finished run's file is flushed by W&B's own process, in its own time; a stage's end waits so
    [file] = (tmp_path / ".touchstone/logs/wandb").glob("offline-run-*/run-*.wandb")
    assert file.stat().st_size > 500


def test_a_logger_whose_package_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("touchstone.training.loggers.find_spec", lambda name: None)
    with pytest.raises(TouchstoneError, match=r"machine.loggers: wandb is not installed; run `pip install"):
        check_loggers(Machine(loggers=("wandb",)).loggers)

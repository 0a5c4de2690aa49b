"""The line that each training ends with, and the bar that it has on a terminal."""

import re
from io import StringIO
from pathlib import Path

import pytest

from kit.training import Killed, interrupt, new_run
from touchstone.training.loggers import ended
from touchstone.training.loop import train_seed
from touchstone.training.resumable import tqdm
from touchstone.training.state import Row


def rows(**columns: list[float]) -> list[Row]:
    steps = [{"step": 600.0 * (i + 1), "train_loss": 0.25} for i in range(3)]
    return [row | {name: values[i] for name, values in columns.items()} for i, row in enumerate(steps)]


def line(history: list[Row], *, kept: int = 1800) -> str:
    return ended("lenet-fixed", 4, (3, 4), history, num_steps=1800, kept=kept, diverged=None, seconds=41.4)


def test_the_last_score_and_that_of_the_weights_that_are_kept_are_shown() -> None:
    history = rows(val_accuracy=[0.9, 0.934, 0.9312])
    name, _, said = line(history, kept=1200).partition(": ")
    assert name == "lenet-fixed seed 4, replicate 2 of 2"
    assert said == "1,800 steps, validation accuracy 93.1 % (kept: 93.4 % at step 1,200), 41 s"
    assert line(history).endswith(": 1,800 steps, validation accuracy 93.1 %, 41 s"), "the last ones are kept"


def test_other_measures_and_ends() -> None:
    history = rows(val_accuracy=[0.9, 0.9, 0.9], val_map=[0.5, 0.61, 0.6])
    assert ": 1,800 steps, validation mAP 60.0 % (kept: 61.0 % at step 1,200)," in line(history, kept=1200)
    assert ": 1,800 steps, training loss 0.250, 41 s" in line(rows()), "without validation images"
    assert ": 1,200 of 1,800 steps, validation mAP 61.0 %, 41 s" in line(history[:2], kept=1200), "stopped early"
    said = ended("a", 0, (0,), history[:1], num_steps=1800, kept=600, diverged=700, seconds=150)
    assert said == "a seed 0: 700 of 1,800 steps, diverged, 2.5 min", "one replicate is not counted"


@pytest.mark.parametrize("engine", ["lightning", "torch"])
def test_a_resumed_training_says_the_same_in_both_engines(
    engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, 17)
        with pytest.raises(Killed):
            train_seed(new_run(engine=engine, save_seconds=0.0), seed=0, state_file=tmp_path / "s.pt")
    assert capsys.readouterr().out == "", "it has not ended"
    done = train_seed(new_run(engine=engine), seed=0, state_file=tmp_path / "s.pt")
    resumed, last = capsys.readouterr().out.splitlines()
    assert resumed == "t seed 0: resumed at step 17 of 30"
    accuracy = done.history[-1]["val_accuracy"]
    assert re.fullmatch(rf"t seed 0: 30 steps, validation accuracy {100 * accuracy:.1f} %( \(kept: .*\))?, \d+ s", last)


@pytest.mark.parametrize(("select", "name"), [("val_accuracy", "val_accuracy"), ("val_loss", "val_loss")])
def test_the_bar_has_step_time_left_and_score_before_its_picture(
    select: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    class Seen(tqdm):
        def __init__(self, **options) -> None:
            super().__init__(**options | {"disable": False, "ncols": 90, "file": StringIO()})

        def close(self) -> None:
            shown.append(str(self))
            super().close()

    monkeypatch.setattr("touchstone.training.resumable.tqdm", lambda **options: Seen(**options))
    done = train_seed(new_run(select=select), seed=0, state_file=tmp_path / "s.pt")
    pattern = rf"t seed 0: step 30 of 30, [\d:]+ left, {name}={done.history[-1][name]:.3f}, train_loss=[\d.]+ \|.*\|"
    assert any(re.fullmatch(pattern, text) for text in shown)

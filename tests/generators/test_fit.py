"""Fitting generators: bytes after a kill, history, sheets, failures by name."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kit.generators import FITS, IMAGES, run_fit
from touchstone.data.imageset import ImageSet
from touchstone.errors import TouchstoneError
from touchstone.generators import build
from touchstone.generators.fit import FitCallback, diversity


class Killed(Exception):
    pass


@pytest.mark.parametrize("kind", FITS)
@pytest.mark.parametrize("at", [1, 6, 11])
def test_killed_and_resumed_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, at: int
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = run_fit(kind, tmp_path / "a")
    start = FitCallback.before_step

    def dying(self: FitCallback) -> None:
        if self.state.step == at:
            raise Killed
        start(self)

    with monkeypatch.context() as patch:
        patch.setattr(FitCallback, "before_step", dying)
        with pytest.raises(Killed):
            run_fit(kind, tmp_path / "b", save_seconds=0.0)
    assert torch.load(tmp_path / "b/state.pt", weights_only=True)["state"]["step"] == at
    resumed = run_fit(kind, tmp_path / "b")
    assert all(torch.equal(value, resumed.weights[name]) for name, value in whole.weights.items())
    assert whole.history.equals(resumed.history)
    assert all(np.array_equal(grid, resumed.grids[step]) for step, grid in whole.grids.items())


@pytest.mark.parametrize("kind", FITS)
def test_history_and_sheets(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = run_fit(kind, tmp_path)
    shown = {name: f"{name} {value:.3f}" for name, value in done.history.iloc[-1].items() if name != "step"}
    assert {"loss", "diversity"} <= shown.keys()
    assert capsys.readouterr().out.startswith(f"{kind}: 12 steps, {', '.join(shown.values())}, "), "its losses"
    assert done.history["step"].tolist() == list(range(1, 13)), "at most a hundred rows, and there are only 12 steps"
    assert sorted(done.grids) == [5, 10, 12]
    assert done.history.set_index("step")["diversity"].dropna().index.tolist() == [5, 10, 12]
    assert done.grids[12].shape == (2, 40, 8, 8, 1)
    assert done.history["loss"].notna().all()
    assert ("discriminator_loss" in done.history) == (kind == "dcgan")


def test_sheets_drawn_change_no_weight(tmp_path: Path) -> None:
    for kind in FITS:
        for folder in (tmp_path / kind, tmp_path / f"{kind}-never"):
            folder.mkdir()
        often = run_fit(kind, tmp_path / kind, grid_steps=2)
        never = run_fit(kind, tmp_path / f"{kind}-never", grid_steps=0)
        assert all(torch.equal(value, never.weights[name]) for name, value in often.weights.items())


def test_a_fit_that_has_ended_is_taken_up_where_it_ended(tmp_path: Path) -> None:
    for kind in FITS:
        (tmp_path / kind).mkdir()
        done, again = (run_fit(kind, tmp_path / kind) for _ in range(2))
        assert again.images_per_second == 0
        assert all(torch.equal(value, again.weights[name]) for name, value in done.weights.items())
        assert again.history.equals(done.history)


def test_epochs_are_passes(tmp_path: Path) -> None:
    assert run_fit("dcgan", tmp_path, num_steps=0, epochs=3).history["step"].iloc[-1] == 10  # 3 * 20 images by 6


def test_the_denoiser_learns_what_a_class_looks_like(tmp_path: Path) -> None:
    """Class a is dark, class b is bright, and so are the samples."""
    level = np.array([20, 200] * 10, np.uint8)[:, None, None, None]
    images = ImageSet(IMAGES.images // 8 + level, IMAGES.table)
    changes = {
        "lr": 0.005,
        "dropout": 0.0,
        "batch_size": 20,
        "num_steps": 120,
        "grid_steps": 0,
        "label_drop": 0.0,
        "prediction": "v",
    }
    done = run_fit("ddpm", tmp_path, images=images, hflip=False, **changes)
    dark, bright = done.grids[120].mean((1, 2, 3, 4))
    assert dark < 90
    assert bright > 160
    assert done.history["loss"].iloc[-10:].mean() < 0.5 * done.history["loss"].iloc[:3].mean()


@pytest.mark.parametrize("kind", FITS)
def test_a_loss_that_explodes_is_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(TouchstoneError, match=rf"{kind}: diverged: \w+ is \S+ at step \d+, .*lower fit.lr"):
        run_fit(kind, tmp_path, num_steps=60, lr=1e4, warmup_steps=0, clip_norm=0.0, diffaugment=())


def test_a_collapse_is_named(tmp_path: Path) -> None:
    """An untrained generator makes nearly the same image from any noise, and this one learns nothing."""
    with pytest.raises(TouchstoneError, match=r"dcgan: collapsed at step 10: images of a class differ 0\.\d+ times"):
        run_fit("dcgan", tmp_path, lr=1e-12, min_diversity=0.5)


def test_a_denoiser_that_learnt_nothing_is_named(tmp_path: Path) -> None:
    level = np.full((20, 1, 1, 1), 100, np.uint8)
    images = ImageSet(IMAGES.images // 8 + level, IMAGES.table)
    with pytest.raises(TouchstoneError, match=r"ddpm: nothing but noise at step 12: .*fit.max_diversity is 1.4"):
        run_fit("ddpm", tmp_path, images=images, grid_steps=0, lr=1e-12, warmup_steps=0, max_diversity=1.4)


def test_a_discriminator_that_always_wins_is_named() -> None:
    module = build("dcgan", FITS["dcgan"], num_classes=2, channels=1, image_size=8)
    winning = [{"step": float(i), "loss": 12.0, "discriminator_loss": 0.001} for i in range(10)]
    assert "recognises every sample" in module.stuck(winning)
    assert module.stuck(winning[:9]) == ""
    assert module.stuck([*winning, {"step": 10.0, "loss": 1.0, "discriminator_loss": 0.9}]) == ""


def test_a_class_without_training_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(TouchstoneError, match="dcgan: class c has no training images"):
        run_fit("dcgan", tmp_path, classes="abc")


def test_diversity() -> None:
    rng = np.random.default_rng(0)
    real = {0: rng.integers(0, 256, (30, 8, 8, 1), np.uint8), 1: rng.integers(0, 256, (30, 8, 8, 1), np.uint8)}
    same = rng.integers(0, 256, (2, 30, 8, 8, 1), np.uint8)
    assert diversity(same, real) == pytest.approx(1, abs=0.05)
    assert diversity(np.repeat(same[:, :1], 30, 1), real) == 0
    half = (64 + same // 2).astype(np.uint8)
    assert diversity(half, real) == pytest.approx(0.5, abs=0.05)
    assert np.isnan(diversity(same[:1, :3], {0: real[0][:1]}))


def test_several_labels_an_image_are_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(
        TouchstoneError, match=r"generators\.dcgan: makes images of one class each, and here an image may"
    ):
        run_fit("dcgan", tmp_path, meta={"multi_label": True})

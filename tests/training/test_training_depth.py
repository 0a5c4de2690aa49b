"""Training on images of five channels and 16 bits: the same bytes however it runs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kit.images import image_set
from kit.training import META, Killed, interrupt, same
from touchstone.config.load import resolve_model
from touchstone.config.schema.data import Arm
from touchstone.config.schema.machine import Machine
from touchstone.data.batches import View
from touchstone.data.imageset import ImageSet
from touchstone.data.levels import of_depth
from touchstone.data.training_set import combine
from touchstone.models.predict import probabilities
from touchstone.models.runs import RunMetadata, load_nets, load_run_metadata, save_run
from touchstone.training.loop import train_seed
from touchstone.training.setup import TrainingRun, set_up

DEEP = META | {"channels": 5, "bits": 16}


def images(count: int, seed: int, bits: int = 16) -> ImageSet:
    made = image_set(["a", "b"] * (count // 2), side=16, channels=5, seed=seed)
    made.images[1::2] //= 2
    pixels = of_depth(made.images, bits)
    if bits == 16:
        pixels = pixels - np.minimum(pixels, np.arange(16, dtype=np.uint16)[:, None])  # no multiples of 257
    return ImageSet(pixels, made.table)


def new_run(tmp_path: Path, *, bits: int = 16, num_workers: int = 0, **changes) -> TrainingRun:
    settings = {"net": "lenet", "input_size": 16, "seeds": (0,), "num_steps": 12, "batch_size": 7, "lr": 0.01}
    settings |= {"eval_steps": 6, "num_threads": 1, "hflip": True, "jitter_brightness": 0.2, "rotate_deg": 5.0}
    return set_up(
        "t",
        settings=resolve_model(settings | changes),
        data=combine(Arm(), train=images(24, 0, bits), name="real"),
        val=images(10, 1, bits),
        meta=DEEP if bits == 16 else DEEP | {"bits": 8},
        machine=Machine(accelerator="cpu", num_workers=num_workers, save_seconds=0.0),
        features=tmp_path / "features",
    )


@pytest.mark.parametrize("changes", [{"engine": "torch"}, {"num_workers": 2}])
def test_engines_and_workers_give_the_same_bytes(tmp_path: Path, changes: dict) -> None:
    one = train_seed(new_run(tmp_path), seed=0, state_file=tmp_path / "a.pt")
    other = train_seed(new_run(tmp_path, **changes), seed=0, state_file=tmp_path / "b.pt")
    assert same(one.weights, other.weights)


def test_a_killed_run_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train_seed(new_run(tmp_path, mixup=0.3), seed=0, state_file=tmp_path / "a.pt")
    with monkeypatch.context() as patch:
        interrupt(patch, 7)
        with pytest.raises(Killed):
            train_seed(new_run(tmp_path, mixup=0.3), seed=0, state_file=tmp_path / "b.pt")
    assert same(whole.weights, train_seed(new_run(tmp_path, mixup=0.3), seed=0, state_file=tmp_path / "b.pt").weights)


def test_five_crops_keep_16_bits() -> None:
    pixels = images(2, 0).images
    seen = View(size_px=16, input_px=8, crop_px=12).seen(pixels, None)
    assert (seen.dtype, tuple(seen.shape)) == (torch.uint16, (2, 5, 8, 8, 5))
    np.testing.assert_array_equal(View(16, 12, crop_px=12).seen(pixels, None)[0, 0].numpy(), pixels[0, :12, :12])


def test_cached_features(tmp_path: Path) -> None:
    still = {"hflip": False, "jitter_brightness": 0.0, "rotate_deg": 0.0, "weights": "random", "select": "last"}
    still |= {"net": "mobilenet_v2", "input_size": 32, "trainable": ("head",)}
    cached = train_seed(new_run(tmp_path, **still), seed=0, state_file=tmp_path / "a.pt")
    plain = train_seed(new_run(tmp_path, **still, feature_cache=False), seed=0, state_file=tmp_path / "b.pt")
    for name, value in cached.weights.items():
        np.testing.assert_allclose(value.numpy(), plain.weights[name].numpy(), atol=1e-5, rtol=1e-4)


def test_a_run_is_rebuilt_with_its_channels_and_bits(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    trained = train_seed(run, seed=0, state_file=tmp_path / "a.pt")
    facts = {"mean": run.mean, "std": run.std, "normalisations": {}, "selected_step": {"0": 12}, "diverged": {}}
    metadata = RunMetadata.of(run.settings, meta=DEEP | {"white": 4095}, **facts)
    (tmp_path / "run").mkdir()
    save_run(tmp_path / "run", metadata, {0: trained.weights})
    loaded = load_run_metadata(tmp_path / "run")
    assert (loaded.channels, loaded.bits, loaded.white) == (5, 16, 4095)
    net = load_nets(tmp_path / "run", loaded)[0]
    probs = probabilities(net, images(40, 2), view=net.view, num_classes=2)
    assert (probs.argmax(1) == np.arange(40) % 2).mean() > 0.9
    eight = RunMetadata.of(run.settings, meta=META | {"channels": 5}, **facts)
    save_run(tmp_path / "run", eight, {0: trained.weights})
    assert '"bits"' not in (tmp_path / "run/model.json").read_text()

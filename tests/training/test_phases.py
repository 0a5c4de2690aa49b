"""Phases: frozen, then unfrozen, in one run; killed in any of them, training resumes to the same bytes."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kit.images import image_set
from kit.training import META, Killed, interrupt, labelled, same
from touchstone.config.load import resolve_model
from touchstone.config.schema.data import Arm
from touchstone.config.schema.machine import Machine
from touchstone.data.training_set import combine
from touchstone.errors import TouchstoneError
from touchstone.models.averaging import averaged
from touchstone.models.feature_cache import Backbone
from touchstone.models.freezing import freeze
from touchstone.models.initial_weights import EVERY_SEED, InitialWeights
from touchstone.models.nets import build
from touchstone.training import loop
from touchstone.training.classifier import Classifier, build_classifier
from touchstone.training.loop import train_seed
from touchstone.training.setup import TrainingRun, set_up

TWO = (
    {"num_steps": 12, "trainable": ("head",), "lr": 0.02, "schedule": "constant"},
    {"num_steps": 9, "batch_norm": "frozen", "optimizer": "sgd", "schedule": "one_cycle"},
)


def new_run(
    folder: Path, *, num_workers: int = 0, save_seconds: float = 20.0, net: str = "lenet_bn", **changes
) -> TrainingRun:
    settings = {"net": net, "weights": "random", "num_steps": 1, "batch_size": 7, "eval_steps": 4, "num_threads": 1}
    settings |= {"input_size": 16, "phases": TWO, "lr": 0.01}
    model = resolve_model(settings | changes)
    torch.manual_seed(11)
    body = (
        {k: v for k, v in build_net(net).state_dict().items() if not k.startswith("15.")} if net == "lenet_bn" else None
    )
    return set_up(
        "t",
        settings=model,
        data=combine(Arm(), train=labelled(24, 0), name="real"),
        val=labelled(20, 1),
        meta=META,
        machine=Machine(accelerator="cpu", num_workers=num_workers, save_seconds=save_seconds),
        features=folder / "features",
        initial=InitialWeights("x", tensors={EVERY_SEED: body} if body else {}),
    )


def build_net(net: str) -> torch.nn.Module:
    return build(net, num_classes=2, in_channels=1, input_size=16, options={})


class Watched:
    """Optimizer, learning rate, number of trained weights, and whether the batch held features, for each step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[str, float, int, bool]] = []
        step = loop.train_step

        def watching(phase, state, batch, **engine):
            optimizer = phase.optimizer
            count = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
            self.seen.append(
                (type(optimizer).__name__, optimizer.param_groups[0]["lr"], count, batch[0].is_floating_point())
            )
            return step(phase, state, batch, **engine)

        monkeypatch.setattr(loop, "train_step", watching)


def test_each_phase_has_its_own_optimizer_schedule_and_trainable_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watched(monkeypatch)
    one = new_run(tmp_path)
    done = train_seed(one, seed=0, state_file=tmp_path / "s.pt")
    assert len(watch.seen) == 21
    head = 84 * 2 + 2
    assert all(step == ("Adam", 0.02, head, True) for step in watch.seen[:12])
    assert {step[0] for step in watch.seen[12:]} == {"SGD"}
    rates = [step[1] for step in watch.seen[12:]]
    assert rates[0] == pytest.approx(0.01 / 25), "the schedule starts again"
    assert max(rates) <= 0.01 + 1e-9
    whole = sum(p.numel() for p in build_net("lenet_bn").parameters())
    norms = 2 * (6 + 16 + 120 + 84)
    assert {step[2] for step in watch.seen[12:]} == {whole - norms}
    assert not any(step[3] for step in watch.seen[12:]), "images once the backbone trains"
    assert [row["step"] for row in done.history] == [4, 8, 12, 16, 20, 21]


def test_what_is_frozen_keeps_its_initial_weights(tmp_path: Path) -> None:
    one = new_run(tmp_path, phases=(TWO[0],), select="last")
    done = train_seed(one, seed=0, state_file=tmp_path / "s.pt")
    assert all(torch.equal(done.weights[name], value) for name, value in one.initial.tensors[EVERY_SEED].items())
    both = train_seed(new_run(tmp_path, select="last"), seed=0, state_file=tmp_path / "s2.pt")
    changed = {
        name for name, value in one.initial.tensors[EVERY_SEED].items() if not torch.equal(both.weights[name], value)
    }
    assert "0.weight" in changed
    assert not any("running" in name for name in changed)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("at", [1, 11, 12, 13, 20])
def test_killed_in_any_phase_and_resumed_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, ema_decay: float
) -> None:
    whole = train_seed(new_run(tmp_path, ema_decay=ema_decay), seed=1, state_file=tmp_path / "a.pt")
    with monkeypatch.context() as patch:
        interrupt(patch, at)
        with pytest.raises(Killed):
            train_seed(new_run(tmp_path, ema_decay=ema_decay, save_seconds=0.0), seed=1, state_file=tmp_path / "b.pt")
    assert torch.load(tmp_path / "b.pt", weights_only=True)["state"]["step"] == at
    resumed = train_seed(new_run(tmp_path, ema_decay=ema_decay), seed=1, state_file=tmp_path / "b.pt")
    assert same(whole.weights, resumed.weights)
    assert whole.history == resumed.history


def test_cached_features_give_what_images_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To float tolerance, as kernels differ by batch size; with dropout in the head, too."""
    options = {"net": "mobilenet_v2", "input_size": 32, "options": {"hidden": 8, "dropout": 0.3}, "phases": (TWO[0],)}
    options |= {"select": "last"}
    watch = Watched(monkeypatch)
    cached = train_seed(new_run(tmp_path, **options), seed=0, state_file=tmp_path / "a.pt")
    assert all(step[3] for step in watch.seen)
    plain = train_seed(new_run(tmp_path, feature_cache=False, **options), seed=0, state_file=tmp_path / "b.pt")
    assert not any(step[3] for step in watch.seen[12:])
    for name, value in cached.weights.items():
        assert torch.allclose(value, plain.weights[name], atol=1e-5, rtol=1e-4), name
    for one, two in zip(cached.history, plain.history, strict=True):
        assert one == pytest.approx(two, rel=1e-4, abs=1e-5)


def test_online_augmentation_sees_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watched(monkeypatch)
    train_seed(new_run(tmp_path, phases=(TWO[0] | {"hflip": True},)), seed=0, state_file=tmp_path / "s.pt")
    assert not any(step[3] for step in watch.seen)


def test_features_are_computed_once_for_all_seeds_arms_and_heads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    compute = Backbone._compute
    monkeypatch.setattr(Backbone, "_compute", lambda self, *a: computed.append(len(a[0])) or compute(self, *a))
    options = {"net": "mobilenet_v2", "input_size": 32, "phases": (TWO[0],)}
    body = {k: v for k, v in build_mobilenet().state_dict().items() if not k.startswith("classifier")}

    def run(seed: int, **changes) -> None:
        one = new_run(tmp_path, **options | changes)
        train_seed(
            replace(one, initial=InitialWeights("x", tensors={EVERY_SEED: body})),
            seed=seed,
            state_file=tmp_path / "s.pt",
        )
        (tmp_path / "s.pt").unlink(missing_ok=True)

    run(0)
    assert computed == [24, 20]
    run(1)
    run(0, options={"hidden": 8})
    assert computed == [24, 20]
    run(0, input_size=40)
    assert len(computed) == 4, "another input, other features"
    body["features.0.0.weight"] = body["features.0.0.weight"] + 1
    run(0)
    assert len(computed) == 6, "other weights, other features"


def build_mobilenet() -> torch.nn.Module:
    torch.manual_seed(5)
    return build("mobilenet_v2", num_classes=2, in_channels=1, input_size=32, options={})


def test_features_are_the_input_of_the_head_and_old_files_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, images = build_mobilenet(), image_set(["a"] * 5, side=32, channels=1).images
    mean, std = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
    from touchstone.data.batches import View

    backbone = Backbone(net, name="mobilenet_v2", options={}, mean=mean, std=std, view=View(32, 32))
    seen = backbone.features(images, None, folder=tmp_path)
    with torch.no_grad():
        expected = net.eval().features(torch.from_numpy(images).float().permute(0, 3, 1, 2)).mean((2, 3))
    assert torch.allclose(torch.from_numpy(seen.copy()), expected, atol=1e-3, rtol=1e-4)
    assert not seen.flags.writeable
    monkeypatch.setattr("touchstone.models.feature_cache.MAX_BYTES", 30_000)
    (tmp_path / "killed.part").write_bytes(b"x")
    os.utime(tmp_path / "killed.part", (0, 0))
    (tmp_path / "running.part").write_bytes(b"x")
    assert len(backbone.features(images[:4], None, folder=tmp_path)) == 4
    left = {file.name for file in tmp_path.iterdir()}
    assert len(left) == 2, "the oldest is removed; the newest and the unfinished file of another process stay"
    assert "running.part" in left
    assert len(seen) == 5, "an open file stays readable"
    mirrored = backbone.features(images[:, :, ::-1], None, folder=tmp_path)
    assert np.allclose(backbone.features(images, None, folder=tmp_path, mirrored=True), mirrored, atol=1e-3)


def test_what_is_predicted_may_be_larger_than_what_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides, forward = [], Classifier.forward

    def watching(self: Classifier, batch: torch.Tensor) -> torch.Tensor:
        sides.append((self.training, batch.shape[1] if batch.ndim == 4 else 0))
        return forward(self, batch)

    monkeypatch.setattr(Classifier, "forward", watching)
    options = {"net": "mobilenet_v2", "input_size": 32, "test_input_size": 48, "phases": ({"num_steps": 4},)}
    done = train_seed(new_run(tmp_path, select="last", **options), seed=0, state_file=tmp_path / "a.pt")
    assert {(True, 32), (False, 48)} <= set(sides)
    assert (True, 48) not in sides
    head = ({"num_steps": 4, "trainable": ("head",)},)
    cached = train_seed(new_run(tmp_path, **options | {"phases": head}), seed=0, state_file=tmp_path / "b.pt")
    plain = train_seed(
        new_run(tmp_path, feature_cache=False, **options | {"phases": head}), seed=0, state_file=tmp_path / "c.pt"
    )
    assert cached.history[-1] == pytest.approx(plain.history[-1], rel=1e-4, abs=1e-5)
    assert done.history[-1] != cached.history[-1]


def test_an_unknown_module_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(TouchstoneError, match=r"t: trainable: got 'layer4', expected one of all, head, 0, 1"):
        train_seed(
            new_run(tmp_path, phases=({"num_steps": 2, "trainable": ("layer4",)},)), seed=0, state_file=tmp_path / "s"
        )


def test_averaged_weights_follow_and_are_the_ones_kept(tmp_path: Path) -> None:
    fast = train_seed(new_run(tmp_path, select="last"), seed=0, state_file=tmp_path / "a.pt")
    slow = train_seed(new_run(tmp_path, select="last", ema_decay=0.99), seed=0, state_file=tmp_path / "b.pt")
    assert not same(fast.weights, slow.weights)
    assert fast.weights.keys() == slow.weights.keys()
    net = build_net("lenet_bn")
    copy = averaged(net, decay=0.15)
    copy.update_parameters(net)  # the first time it is a copy
    before = net[0].weight.detach().clone()
    with torch.no_grad():
        net[0].weight += 1
    copy.update_parameters(net)
    assert torch.allclose(copy.module[0].weight, before + 0.85, atol=1e-5)
    classifier = build_classifier(new_run(tmp_path, ema_decay=0.15), 0)
    assert classifier.train().judged is not classifier.net
    assert not classifier.judged.training


@pytest.mark.parametrize("changes", [{"ema_decay": 0.9}, {"test_flips": True}, {"test_shift": 2}, {}])
def test_a_head_trained_after_the_body_is_validated_as_without_the_cache(tmp_path: Path, changes: dict) -> None:
    options = {"net": "mobilenet_v2", "input_size": 32, "select": "last", "eval_steps": 2} | changes
    options["phases"] = ({"num_steps": 6, "batch_norm": "frozen"}, {"num_steps": 6, "trainable": ("head",)})
    cached = train_seed(new_run(tmp_path, **options), seed=0, state_file=tmp_path / "a.pt")
    plain = train_seed(new_run(tmp_path, feature_cache=False, **options), seed=0, state_file=tmp_path / "b.pt")
    for one, two in zip(cached.history, plain.history, strict=True):
        assert one == pytest.approx(two, rel=1e-3, abs=1e-4)


def test_flips_average_probabilities_in_evaluation_only() -> None:
    torch.manual_seed(0)
    classifier = Classifier(build_net("lenet_bn"), head="15", mean=[127.0], std=[50.0], test_flips=True)
    pixels = torch.randint(0, 256, (3, 16, 16, 1), dtype=torch.uint8)
    classifier.eval()
    both = classifier(pixels).softmax(1)
    plain = Classifier(classifier.net, head="15", mean=[127.0], std=[50.0]).eval()
    expected = (plain(pixels).softmax(1) + plain(pixels.flip(2)).softmax(1)) / 2
    assert torch.allclose(both, expected, atol=1e-6)
    assert torch.allclose(classifier(pixels.flip(2)).softmax(1), both, atol=1e-6)


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("multi_label", [False, True])
def test_half_of_the_mean_is_of_moves_over_a_reflected_border(flips: bool, multi_label: bool) -> None:
    torch.manual_seed(0)
    how: dict[str, Any] = {
        "head": "15",
        "mean": [127.0],
        "std": [50.0],
        "test_flips": flips,
        "multi_label": multi_label,
    }
    classifier = Classifier(build_net("lenet_bn"), test_shift=2, **how)
    pixels = torch.randint(0, 256, (3, 16, 16, 1), dtype=torch.uint8)
    plain = Classifier(classifier.net, **how)
    probs = (lambda logits: logits.sigmoid()) if multi_label else (lambda logits: logits.softmax(1))
    wide = np.pad(pixels.numpy(), ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    assert torch.equal(classifier.train()(pixels), plain.train()(pixels)), "in training, images stay where they are"
    classifier.eval()
    plain.eval()
    up, down = (probs(plain(torch.from_numpy(part.copy()))) for part in (wide[:, 4:, 4:], wide[:, :-4, :-4]))
    expected = probs(plain(pixels)) / 2 + (up + down) / 4
    assert torch.allclose(probs(classifier(pixels)), expected, atol=1e-6)


def test_frozen_is_what_freeze_says(tmp_path: Path) -> None:
    net = build_net("lenet_bn")
    freeze(net, new_run(tmp_path).phases[0].phase, head="15")
    assert [name for name, p in net.named_parameters() if p.requires_grad] == ["15.weight", "15.bias"]

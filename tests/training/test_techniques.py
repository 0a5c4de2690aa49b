"""Techniques of training: both engines, and a kill at any step, give the same bytes; each does what its name says."""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from kit.project import ROOT, run
from kit.training import Killed, interrupt, new_run, same
from touchstone.config import yaml
from touchstone.config.load import settings_of
from touchstone.config.schema.model import Phase
from touchstone.errors import TouchstoneError
from touchstone.models import device
from touchstone.models.checks import ELSEWHERE, check_models
from touchstone.models.device import check_precision
from touchstone.models.nets import from_images
from touchstone.training import checks, loop
from touchstone.training.classifier import build_classifier
from touchstone.training.loop import Trained, train_seed
from touchstone.training.objective import SingleLabel, mixing
from touchstone.training.optimizers import optimizer_of, schedule_of, update_sizes
from touchstone.training.phase import training_batches
from touchstone.training.state import PhaseState, TrainState

OPTIMIZERS = ("sgd", "nesterov", "adam", "adamw", "nadam", "rmsprop", "adagrad", "adadelta")
ALL_ON: dict[str, Any] = {"ema_decay": 0.9, "clip_norm": 0.5, "accumulate": 3}
TECHNIQUES: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "schedule": "cosine", **ALL_ON},
    "adam": {"optimizer": "adam", **ALL_ON},
    "swa": {"swa_share": 0.5, "swa_anneal_epochs": 1.0, "select": "last", "net": "lenet_bn"},
    "accumulation by epoch": {"accumulate": {0: 1, 2: 4, 5: 2}, "schedule": "constant"},
    "phases": {
        "phases": ({"num_steps": 14, "accumulate": 4}, {"num_steps": 16, "optimizer": "nesterov"}),
        "num_steps": 1,
    },
    "plateau": {"schedule": "plateau", "plateau_patience": 0, "decay": 0.5, "warmup_epochs": 2.0},
    "mixing": {"mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.1, "class_weights": "balanced"},
    "early stopping": {"patience": 1, "lr": 0.05, "num_steps": 60},
    "early stopping and phases": {
        "patience": 1,
        "num_steps": 1,
        "phases": ({"num_steps": 40, "lr": 0.05}, {"num_steps": 15, "optimizer": "sgd"}),
    },
    "early stopping between updates": {
        "patience": 1,
        "num_steps": 1,
        "eval_steps": 2,
        "phases": ({"num_steps": 40, "lr": 0.05, "accumulate": 3}, {"num_steps": 15, "optimizer": "sgd"}),
    },
    "randaugment": {"policy": "randaugment", "sampler": "weighted", "num_steps": 20},
    "trivialaugment": {"policy": "trivialaugment", "loss": "focal", "erase": 0.5, "num_steps": 20},
    "augmix": {"policy": "augmix", "class_weights": "effective", "mixup": 0.4, "num_steps": 20},
    "layer decay": {"layer_decay": 0.7, "optimizer": "nesterov", "net": "lenet_bn", **ALL_ON},
    "layer decay and swa": {"layer_decay": 0.7, "swa_share": 0.5, "swa_anneal_epochs": 1.0, "select": "last"},
    "layer decay and phases": {
        "num_steps": 1,
        "layer_decay": 0.7,
        "phases": ({"num_steps": 14, "trainable": ("head",)}, {"num_steps": 16, "schedule": "plateau"}),
    },
    "alternating flips": {
        "alternate_flips": True,
        "crop_border": "reflect",
        "net": "airbench",
        "options": {"width": 8},
    },
    "rotation": {"rotate_deg": 15.0, "jitter_brightness": 0.2, "clip_value": 0.1},
}


def trained(folder: Path, name: str, **changes: Any) -> Trained:
    return train_seed(new_run(**changes), seed=1, state_file=folder / f"{name}.pt")


def equal(one: Trained, two: Trained) -> bool:
    return same(one.weights, two.weights) and one.history == two.history and one.selected_step == two.selected_step


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_both_engines_give_the_same_bytes(tmp_path: Path, technique: str) -> None:
    one = trained(tmp_path, "lightning", **TECHNIQUES[technique])
    two = trained(tmp_path, "torch", engine="torch", **TECHNIQUES[technique])
    assert equal(one, two)
    assert one.diverged is None


@pytest.mark.parametrize("engine", ["lightning", "torch"])
@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize("at", [1, 6, 13, 22, 29, 41, 47])
def test_killed_and_resumed_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, technique: str, engine: str, at: int
) -> None:
    changes = TECHNIQUES[technique] | {"engine": engine}
    whole = trained(tmp_path, "a", **changes)
    if at >= whole.history[-1]["step"]:
        pytest.skip("it had stopped early before")
    with monkeypatch.context() as patch:
        interrupt(patch, at)
        try:
            trained(tmp_path, "b", save_seconds=0.0, **changes)
        except Killed:
            pass
        else:
            pytest.skip("early stopping jumped over that step")
    state = tmp_path / "b.pt"
    saved = torch.load(state, weights_only=True)["state"]["step"] if state.exists() else 0
    assert at - 4 < saved <= at, "it goes on from the last update"
    assert equal(whole, trained(tmp_path, "b", **changes))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_learns_under_every_schedule(tmp_path: Path, name: str) -> None:
    lr = {"sgd": 0.05, "nesterov": 0.05, "adagrad": 0.02, "adadelta": 2.0}.get(name, 0.005)
    for schedule in ("constant", "one_cycle", "linear", "cosine", "step", "plateau"):
        settings = {"optimizer": name, "schedule": schedule, "lr": lr, "num_steps": 90, "crop_padding": 0}
        done = trained(tmp_path, f"{name}-{schedule}", engine="torch", **settings)
        assert max(row["val_accuracy"] for row in done.history) > 0.85, schedule


def test_a_linear_schedule_rises_to_its_rate_and_falls_by_equal_steps() -> None:
    weights = [torch.nn.Parameter(torch.ones(3))]
    phase = Phase(num_steps=14, optimizer="sgd", lr=0.1, schedule="linear", warmup_epochs=2.0)
    optimizer = optimizer_of(weights, phase)
    schedule, rates = schedule_of(optimizer, phase, num_steps=14, steps_per_epoch=2.0), []
    for _ in range(14):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1] + [0.01 * i for i in range(10, 0, -1)])


def test_optimizers_are_what_their_names_say() -> None:
    weights = [torch.nn.Parameter(torch.ones(3))]
    made = {name: optimizer_of(weights, Phase(num_steps=1, optimizer=name, lr=0.1)) for name in OPTIMIZERS}
    kinds = {name: type(one).__name__.lower() for name, one in made.items()}
    assert kinds == {name: name for name in OPTIMIZERS} | {"nesterov": "sgd"}
    assert made["nesterov"].defaults["nesterov"]
    assert not made["sgd"].defaults["nesterov"]
    assert made["adam"].defaults["betas"] == (0.9, 0.999)


def rates(num_steps: int = 40, **changes: Any) -> list[float]:
    """The learning rate of each step, at 10 steps an epoch."""
    phase = Phase(num_steps=num_steps, optimizer="sgd", lr=1.0, **changes)
    made = optimizer_of([torch.nn.Parameter(torch.ones(1))], phase)
    schedule = schedule_of(made, phase, num_steps=num_steps, steps_per_epoch=10)
    out = []
    for _ in range(num_steps):
        out.append(made.param_groups[0]["lr"])
        made.step()
        schedule.step()
    return out


def test_schedules_are_what_their_names_say() -> None:
    assert rates() == [1.0] * 40
    stepped = rates(schedule="step", decay_epochs=1.0, decay=0.1)
    assert stepped[::10] == pytest.approx([1, 0.1, 0.01, 0.001])
    cosine = rates(schedule="cosine")
    assert cosine == pytest.approx([(1 + math.cos(math.pi * i / 40)) / 2 for i in range(40)])
    cycle = rates(schedule="one_cycle")
    assert cycle[0] == pytest.approx(1 / 25)
    assert max(cycle) == pytest.approx(1.0)
    assert cycle.index(max(cycle)) in (11, 12)


def test_a_warm_up_rises_in_a_line_and_the_schedule_takes_what_is_left() -> None:
    for schedule in ("constant", "plateau"):
        warm = rates(schedule=schedule, warmup_epochs=1.0)
        assert warm[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
        assert warm[10:] == [1.0] * 30
    warm = rates(schedule="cosine", warmup_epochs=1.0)
    assert warm[10:] == pytest.approx([(1 + math.cos(math.pi * i / 30)) / 2 for i in range(30)])
    assert rates(schedule="cosine", warmup_epochs=0.1) == rates(schedule="cosine"), "one step is no warm-up"
    warm = rates(schedule="step", warmup_epochs=1.0, decay_epochs=1.0, decay=0.1)
    assert warm[10::10] == pytest.approx([1, 0.1, 0.01])


def test_plateau_lowers_the_learning_rate_where_the_loss_does_not_fall(tmp_path: Path) -> None:
    changes = {"schedule": "plateau", "plateau_patience": 1, "decay": 0.5, "engine": "torch", "lr": 0.02}
    done = trained(tmp_path, "a", num_steps=120, **changes)
    best, waited, expected, lr = math.inf, 0, [], 0.02
    for row in done.history:
        expected.append(lr)
        best, waited = (row["val_loss"], 0) if row["val_loss"] < best else (best, waited + 1)
        if waited > 1:
            lr, waited = lr / 2, 0
    assert [row["lr"] for row in done.history] == pytest.approx(expected)
    assert expected[-1] < 0.02


@pytest.mark.parametrize("changes", [{"schedule": "plateau"}, {"patience": 2}])
def test_what_watches_validation_needs_validation_images(changes: dict) -> None:
    with pytest.raises(TouchstoneError, match=r"t: (schedule: plateau|patience: 2) watches the validation images"):
        new_run(val=0, **changes)


def test_updates_follow_the_epochs_and_end_with_the_phase() -> None:
    def sizes(num_steps: int, batch_size: int, num_images: int, accumulate: Any = 1) -> list[int]:
        phase = Phase(num_steps=num_steps, accumulate=accumulate)
        return update_sizes(phase, num_steps=num_steps, batch_size=batch_size, num_images=num_images)

    assert sizes(5, 10, 20) == [1] * 5
    assert sizes(7, 10, 20, 3) == [3, 3, 3, 3, 3, 3, 1]
    assert sizes(8, 2, 5, {0: 1, 1: 4}) == [1, 1, 1, 4, 4, 4, 4, 1]
    assert sizes(12, 7, 9, {0: 1, 7: 3})[8:] == [1, 3, 3, 3], "step 9 begins epoch 7 exactly"


def test_accumulated_gradients_are_those_of_the_batches_together(tmp_path: Path) -> None:
    """Two batches of 6 make the update of one of 12: same images, a net without batch norm."""
    plain = {"optimizer": "sgd", "schedule": "constant", "crop_padding": 0, "hflip": False, "select": "last"}
    once = trained(tmp_path, "a", batch_size=12, num_steps=10, **plain)
    twice = trained(tmp_path, "b", batch_size=6, num_steps=20, accumulate=2, **plain)
    for name, value in once.weights.items():
        assert torch.allclose(value, twice.weights[name], atol=1e-5), name


def steps_taken(monkeypatch: pytest.MonkeyPatch, folder: Path, **changes: Any) -> list[list[torch.Tensor]]:
    """The gradients that each update was made from."""
    seen, step = [], loop.train_step

    def watching(phase: PhaseState, state: TrainState, batch: Any, *, backward: Any, update: Any) -> Any:
        def take() -> None:
            seen.append([p.grad.clone() for p in phase.parameters])
            update()

        return step(phase, state, batch, backward=backward, update=take)

    monkeypatch.setattr(loop, "train_step", watching)
    trained(folder, "s", engine="torch", **changes)
    return seen


def test_gradients_are_clipped_by_norm_and_by_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for gradients in steps_taken(monkeypatch, tmp_path, clip_norm=0.01, optimizer="sgd"):
        assert torch.cat([g.flatten() for g in gradients]).norm() == pytest.approx(0.01, rel=1e-3)
    monkeypatch.undo()
    taken = steps_taken(monkeypatch, tmp_path, clip_value=0.001, optimizer="sgd")
    assert max(float(g.abs().max()) for gradients in taken for g in gradients) == pytest.approx(0.001)


def test_class_weights_give_every_class_the_same_share_of_the_loss() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [3])
    weights = SingleLabel(labels, 4).balanced()
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 0, 10 / 3])
    assert np.bincount(labels, weights[labels]).tolist() == pytest.approx([10 / 3, 10 / 3, 0, 10 / 3])


def test_the_loss_of_whole_labels_is_that_of_their_shares() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(9, 4), torch.randint(0, 4, (9,))
    weights, objective = torch.tensor([0.5, 1.0, 2.0, 3.0]), SingleLabel(labels.numpy(), 4)
    for given in (None, weights):
        for smoothing in (0.0, 0.2):
            whole = objective.loss(logits, labels, weights=given, smoothing=smoothing)
            shares = objective.loss(logits, F.one_hot(labels, 4).float(), weights=given, smoothing=smoothing)
            assert whole == pytest.approx(float(shares), rel=1e-5)


def test_chance_is_the_lowest_loss_of_one_answer_for_all() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [2])
    both = {"label_smoothing": 0.3, "class_weights": "balanced"}
    for changes in ({}, {"label_smoothing": 0.1}, {"class_weights": "balanced"}, both):
        phase = Phase(num_steps=1, **changes)
        answer = torch.zeros(3, requires_grad=True)
        objective = SingleLabel(labels, 3)
        weights = torch.tensor(objective.balanced()).float() if changes.get("class_weights") else None
        solver = torch.optim.LBFGS([answer], max_iter=100)

        def loss(answer=answer, weights=weights, phase=phase, solver=solver, objective=objective) -> torch.Tensor:
            solver.zero_grad()
            out = objective.loss(
                answer.expand(10, 3), torch.tensor(labels), weights=weights, smoothing=phase.label_smoothing
            )
            out.backward()
            return out

        solver.step(loss)
        assert loss().item() == pytest.approx(objective.chance_loss(phase), rel=1e-4)


def test_mixed_images_carry_their_labels_shares() -> None:
    torch.manual_seed(0)
    images = torch.arange(4.0)[:, None, None, None].expand(4, 1, 8, 8).contiguous()
    labels = torch.tensor([0, 1, 2, 3])
    for alpha in ({"mixup": 0.5}, {"cutmix": 1.0}, {"mixup": 0.5, "cutmix": 0.5}):
        mixed, shares = mixing(Phase(num_steps=1, **alpha), 4)(images, labels)
        assert torch.allclose(shares.sum(1), torch.ones(4))
        expected = (shares * torch.arange(4.0)).sum(1)  # an image's level is its label
        assert torch.allclose(mixed.mean((1, 2, 3)), expected, atol=1e-5)
    assert mixing(Phase(num_steps=1), 4) is None


def test_swa_is_the_mean_of_the_epochs_ends_with_batch_norms_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"swa_share": 0.5, "swa_lr": 0.02, "swa_anneal_epochs": 1.0, "select": "last", "net": "lenet_bn"}
    seen: list[tuple[int, torch.Tensor]] = []
    one = new_run(engine="torch", batch_size=6, num_steps=40, **changes)  # 4 steps an epoch
    step = loop.train_step

    def watching(phase: PhaseState, state: TrainState, batch: Any, **engine: Any) -> dict[str, torch.Tensor]:
        outputs = step(phase, state, batch, **engine)
        seen.append((state.step + 1, phase.classifier.net[0].weight.detach().clone()))
        return outputs

    monkeypatch.setattr(loop, "train_step", watching)
    done = train_seed(one, seed=0, state_file=tmp_path / "s.pt")
    ends = [weight for step, weight in seen if step > 20 and step % 4 == 0]
    assert len(ends) == 5
    assert torch.allclose(done.weights["0.weight"], torch.stack(ends).mean(0), atol=1e-6)
    assert done.history[-1]["lr"] == pytest.approx(0.02)
    assert done.history[-1]["val_accuracy"] >= 0.9, "batch norms of its own: without them it would guess"


def test_the_mean_has_the_batch_norms_of_the_net_where_they_are_frozen(tmp_path: Path) -> None:
    phases = ({"num_steps": 12}, {"num_steps": 12, "batch_norm": "frozen"})
    changes = {"swa_share": 0.5, "select": "last", "net": "lenet_bn", "weights": "random", "num_steps": 1}
    done = trained(tmp_path, "a", engine="torch", phases=phases, **changes)
    plain = trained(tmp_path, "b", engine="torch", phases=phases, **changes | {"swa_share": 0.0})
    statistics = [name for name in done.weights if "running" in name]
    assert statistics
    for name in statistics:
        assert torch.equal(done.weights[name], plain.weights[name]), "those that the first phase left"


def test_the_means_batch_norms_see_the_images_of_the_last_pass(tmp_path: Path) -> None:
    """The real images of an arm that begins with added images alone."""
    from dataclasses import replace

    one = new_run(swa_share=0.5, select="last", net="lenet_bn", engine="torch", num_steps=40)
    assert one.last_pass == 40 - 4
    seen = list(training_batches(one, one.phases[0], one.data, seed=0, start=one.last_pass))
    assert len(seen) == 4
    half = replace(one.data, num_real=12, pretrain_share=0.5)
    batches = training_batches(one, one.phases[0], half, seed=0, start=36)
    rows = [batches.dataset.images_of(step)[0] for step in range(36, 40)]
    assert np.concatenate(rows).max() < 12


def test_features_are_exact_and_no_part_of_mixed_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    has_bf16(monkeypatch)
    options = {"net": "lenet_bn", "weights": "random", "trainable": ("head",), "crop_padding": 0, "hflip": False}
    for precision, files in (("fp32", 2), ("bf16", 0)):
        one = replace(new_run(precision=precision, **options), features=tmp_path / precision)
        train_seed(one, seed=0, state_file=tmp_path / f"{precision}.pt")
        assert len(list((tmp_path / precision).glob("*.npy"))) == files


def test_the_rate_of_images_is_of_those_that_were_seen(tmp_path: Path) -> None:
    changes = {"patience": 1, "num_steps": 200_000, "lr": 0.05, "engine": "torch", "schedule": "constant"}
    assert trained(tmp_path, "a", **changes).images_per_second < 50_000


def test_a_plain_loop_needs_no_lightning() -> None:
    code = "import sys, touchstone.training.loop; print('pytorch_lightning' in sys.modules)"
    assert run(sys.executable, "-c", code, cwd=ROOT).stdout.strip() == "False"


def test_early_stopping_ends_the_phase_and_the_best_weights_are_kept(tmp_path: Path) -> None:
    changes = {"patience": 2, "num_steps": 400, "lr": 0.02, "schedule": "constant"}
    done = trained(tmp_path, "a", **changes)
    steps = [int(row["step"]) for row in done.history]
    assert steps[-1] < 400
    assert steps[-1] - done.selected_step == 2 * 5, "two validations without a better one"
    phases = ({"num_steps": 200}, {"num_steps": 20})
    both = trained(tmp_path, "b", **changes | {"num_steps": 1, "phases": phases})
    assert any(step > 200 for step in [row["step"] for row in both.history]), "the next phase begins"


def test_fixed_images_alone_are_seen_once(tmp_path: Path) -> None:
    phases = [new_run(**changes).phases[0] for changes in ({}, {"crop_padding": 0, "hflip": False})]
    assert [phase.is_fixed for phase in phases] == [False, True]
    assert not new_run(crop_padding=0, hflip=False, mixup=0.2).phases[0].is_fixed


@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment", "augmix"])
def test_a_policy_of_no_strength_trains_as_none(tmp_path: Path, policy: str) -> None:
    plain, changed = trained(tmp_path, "a", num_steps=15), trained(tmp_path, "b", num_steps=15, policy=policy)
    weak = trained(tmp_path, "c", num_steps=15, policy=policy, policy_strength=0.0)
    assert equal(plain, weak)
    assert not same(plain.weights, changed.weights)
    alone = new_run(policy=policy, policy_strength=0.0, crop_padding=0, hflip=False)
    assert alone.phases[0].is_fixed, "features may be cached"


BAD = {
    "optimizer": ({"optimizer": "adan"}, "optimizer"),
    "accumulate 0": ({"accumulate": 0}, "a number of batches from 1 on"),
    "accumulate late": ({"accumulate": {3: 2}}, "epoch 0 among them"),
    "clip": ({"clip_norm": -1.0}, "greater than or equal to 0"),
    "two clips": ({"clip_norm": 1.0, "clip_value": 1.0}, "clip_norm or clip_value"),
    "two means": ({"swa_share": 0.2, "ema_decay": 0.9, "select": "last"}, "swa_share or ema_decay"),
    "swa": ({"swa_share": 0.2}, "set select to last"),
    "patience": ({"patience": 2, "select": "last"}, "early stopping watches"),
    "plateau": ({"schedule": "plateau", "decay": 1.0}, "set it below 1"),
    "endless": ({"mixup": math.inf}, "finite number"),
    "warm-up": ({"warmup_epochs": 1.0}, "one_cycle warms up by itself"),
    "lr": ({"lr": "fast"}, "expected a number above 0, or auto"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_refused(case: str) -> None:
    changes, message = BAD[case]
    with pytest.raises(TouchstoneError, match=message):
        new_run(**changes)


def has_bf16(monkeypatch: pytest.MonkeyPatch, *, has: bool = True) -> None:
    """Make the processor one that has bf16, and may use it, or one without."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has)
    monkeypatch.setattr(device, "is_portable", lambda: True)
    monkeypatch.setattr(checks, "held", lambda: "native")


def test_bf16_is_for_the_nodes_of_a_cluster_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    has_bf16(monkeypatch, has=False)
    text = (ROOT / "recipes/digits/params.yaml").read_text()
    settings = settings_of(yaml.changed(text, ["train.precision=bf16", "arithmetic=native", "machine.accelerator=cpu"]))
    with pytest.raises(TouchstoneError, match="precision: bf16"):
        check_models(settings)
    monkeypatch.setenv(ELSEWHERE, "slurm")
    check_models(settings)


def test_bf16_is_refused_where_it_would_be_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    has_bf16(monkeypatch, has=False)
    with pytest.raises(TouchstoneError, match=r"precision: bf16 on cpu: this device has no bf16 arithmetic"):
        check_precision("bf16", "cpu", arithmetic="native")
    with pytest.raises(TouchstoneError, match="bf16 on mps"):
        check_precision("bf16", "mps", arithmetic="native")
    check_precision("fp32", "cpu", arithmetic="native")
    has_bf16(monkeypatch)
    check_precision("bf16", "cpu", arithmetic="native")
    with pytest.raises(TouchstoneError, match=r"portable keeps to .* without bf16, .*; set arithmetic: native"):
        check_precision("bf16", "cpu", arithmetic="portable")
    check_precision("fp32", "cpu", arithmetic="portable")


def test_mixed_precision_trains_and_keeps_whole_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has_bf16(monkeypatch)
    mixed = [trained(tmp_path, engine, precision="bf16", engine=engine) for engine in ("lightning", "torch")]
    assert equal(*mixed)
    whole = trained(tmp_path, "c")
    assert not same(mixed[0].weights, whole.weights)
    assert all(value.dtype == whole.weights[name].dtype for name, value in mixed[0].weights.items())


def test_a_net_that_sets_weights_by_images_takes_those_it_is_trained_on() -> None:
    how: dict[str, Any] = {"net": "airbench", "options": {"width": 4}, "num_steps": 1}
    one, other = (build_classifier(new_run(**how, **more), seed).net for seed, more in ((0, {}), (1, {"hflip": False})))
    assert torch.equal(one.whitening.weight, other.whitening.weight), "seeds and augmentation change nothing"
    assert not torch.equal(one.head.weight, other.head.weight)
    run = new_run(**how)
    pixels = torch.from_numpy(run.data.gather(np.arange(len(run.data)))).permute(0, 3, 1, 2)
    expected = build_classifier(run, 0).net
    from_images("airbench", expected, (pixels - run.mean[0]) / run.std[0])
    assert torch.allclose(one.whitening.weight, expected.whitening.weight, rtol=1e-4)

"""Layer-wise learning rates: the rate of each block, under schedules, averaging, the finder and searches."""

from pathlib import Path
from typing import Any

import pytest

from kit.training import new_run, same
from touchstone.config.schema.section import shown
from touchstone.errors import TouchstoneError
from touchstone.training import finder, loop
from touchstone.training.classifier import build_classifier
from touchstone.training.loop import train_seed
from touchstone.training.phase import begin_phase
from touchstone.training.state import PhaseState, TrainState

OPTIMIZERS = ("sgd", "nesterov", "adam", "adamw", "nadam", "rmsprop", "adagrad", "adadelta")


def begun(at: int = 0, **changes: Any) -> PhaseState:
    run = new_run(**changes)
    return begin_phase(run, run.phases[at], build_classifier(run, 0), TrainState())


def rates(phase: PhaseState) -> list[float]:
    return [group["lr"] for group in phase.optimizer.param_groups]


@pytest.mark.parametrize(("net", "number"), [("mobilenet_v2", 20), ("resnet", 10), ("lenet", 5)])
def test_each_block_has_its_share_of_the_rate_of_the_block_after_it(net: str, number: int) -> None:
    changes = {"net": net, "input_size": 32, "lr": 0.02, "schedule": "constant", "weight_decay": 0.1}
    phase = begun(layer_decay=0.7, **changes)
    assert rates(phase) == pytest.approx([0.02 * 0.7**i for i in range(number)])
    assert {group["weight_decay"] for group in phase.optimizer.param_groups} == {0.1}
    head = set(phase.classifier.net.get_submodule(phase.classifier.head).parameters())
    assert set(phase.optimizer.param_groups[0]["params"]) == head


def test_without_decay_there_is_one_group_as_before() -> None:
    plain, one = begun(), begun(layer_decay=1)
    assert plain.checkpoint() == one.checkpoint()
    (group,) = one.optimizer.param_groups
    assert "lr_scale" not in group
    assert [id(p) for p in group["params"]] == [id(p) for p in one.classifier.net.parameters()]


def test_a_decay_of_one_gives_the_same_bytes(tmp_path: Path) -> None:
    made = [
        train_seed(new_run(engine="torch", **changes), seed=0, state_file=tmp_path / f"{i}.pt")
        for i, changes in enumerate(({}, {"layer_decay": 1}, {"layer_decay": 0.7}))
    ]
    assert same(made[0].weights, made[1].weights)
    assert made[0].history == made[1].history
    assert not same(made[0].weights, made[2].weights)
    assert [row["lr"] for row in made[0].history] == [row["lr"] for row in made[2].history], "the head's"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", ["constant", "one_cycle", "linear", "cosine", "step", "plateau"])
def test_blocks_keep_their_shares_under_every_schedule(optimizer: str, schedule: str) -> None:
    more = {} if schedule == "one_cycle" else {"warmup_epochs": 2.0}
    changes = {"optimizer": optimizer, "schedule": schedule, "lr": 0.01, "decay": 0.5, "decay_epochs": 1.0, **more}
    phase, plain = begun(layer_decay=0.1, **changes), begun(**changes)
    for _ in range(25):
        assert rates(phase) == pytest.approx([rates(plain)[0] * 0.1**i for i in range(5)])
        for state in (phase, plain):
            state.optimizer.step()
            state.schedule.step()
            if state.plateau is not None:
                state.plateau.step(1.0)


def test_plateau_lowers_the_smallest_rates_too() -> None:
    phase = begun(layer_decay=0.1, lr=1e-4, schedule="plateau", plateau_patience=0)
    for _ in range(3):
        phase.plateau.step(1.0)
    assert rates(phase) == pytest.approx([1e-6 * 0.1**i for i in range(5)])


def watched(monkeypatch: pytest.MonkeyPatch, module: Any) -> list[list[float]]:
    seen, step = [], module.train_step

    def watching(phase: PhaseState, *arguments: Any, **engine: Any) -> Any:
        seen.append(rates(phase))
        return step(phase, *arguments, **engine)

    monkeypatch.setattr(module, "train_step", watching)
    return seen


def test_stochastic_weight_averaging_ends_at_each_blocks_share_of_its_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watched(monkeypatch, loop)
    changes = {"swa_share": 0.5, "swa_lr": 0.02, "swa_anneal_epochs": 1.0, "select": "last", "engine": "torch"}
    train_seed(new_run(layer_decay=0.7, **changes), seed=0, state_file=tmp_path / "s.pt")
    assert seen[-1] == pytest.approx([0.02 * 0.7**i for i in range(5)])


def test_the_finder_raises_every_blocks_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watched(monkeypatch, finder)
    _, curve = finder.find_lr(new_run(layer_decay=0.7, lr="auto"))
    assert len(seen) >= len(curve)
    for group_rates in seen:
        assert group_rates == pytest.approx([group_rates[0] * 0.7**i for i in range(5)])
    assert seen[0][0] == finder.LOWEST


def test_frozen_blocks_count_and_have_no_group() -> None:
    phase = begun(layer_decay=0.5, lr=0.1, schedule="constant", trainable=("3", "head"))
    assert rates(phase) == pytest.approx([0.1, 0.1 * 0.5**3])
    phase = begun(layer_decay=0.5, lr=0.1, schedule="constant", trainable=("0", "3"))
    assert rates(phase) == pytest.approx([0.1, 0.05]), "the head is frozen"


def test_a_phase_for_the_head_has_one_rate() -> None:
    phases = ({"num_steps": 3, "trainable": ("head",)}, {"num_steps": 3})
    changes = {"phases": phases, "num_steps": 1, "layer_decay": 0.7}
    assert len(begun(**changes).optimizer.param_groups) == 1
    assert len(begun(1, **changes).optimizer.param_groups) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer_decay": 0}, "greater than 0"),
        ({"layer_decay": 1.5}, "less than or equal to 1"),
        ({"layer_decay": 0.7, "trainable": ("11",)}, r"^t: layer_decay: got 0.7, but trainable: 11 trains one of the"),
    ],
)
def test_what_has_no_effect_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TouchstoneError, match=message) as error:
        begun(**changes)
    assert "\n" not in str(error.value)


def test_the_report_shows_it() -> None:
    phase = new_run(layer_decay=0.7).phases[0].phase
    assert "layer-wise lr decay 0.7" in shown(phase, "optimizer")

"""Training one seed and a run: killed and resumed it gives the same bytes; validation selects the weights."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from kit.training import META, Killed, interrupt, labelled, new_run, same
from touchstone.config.schema.data import Arm
from touchstone.data.batches import statistics
from touchstone.data.training_set import combine
from touchstone.models.nets import build
from touchstone.models.predict import batches, logits
from touchstone.models.runs import load_nets, load_run_metadata
from touchstone.training.classifier import Classifier
from touchstone.training.loop import train_seed
from touchstone.training.resume import KEEP, mark_complete, only_folder, open_checkpoint
from touchstone.training.run import curve, deliver, request_of, train


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("at", [1, 13, 29])
def test_killed_and_resumed_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str, at: int
) -> None:
    whole = train_seed(new_run(optimizer=optimizer), seed=1, state_file=tmp_path / "a.pt")
    with monkeypatch.context() as patch:
        interrupt(patch, at)
        with pytest.raises(Killed):
            train_seed(new_run(optimizer=optimizer, save_seconds=0.0), seed=1, state_file=tmp_path / "b.pt")
    state = torch.load(tmp_path / "b.pt", weights_only=True)
    assert state["state"]["step"] == at, "it goes on from the last state, not from zero"
    resumed = train_seed(new_run(optimizer=optimizer), seed=1, state_file=tmp_path / "b.pt")
    assert same(whole.weights, resumed.weights)
    assert whole.history == resumed.history
    assert whole.selected_step == resumed.selected_step


@pytest.mark.parametrize(
    "online",
    [
        {},
        {"policy": "randaugment", "sampler": "weighted"},
        {"policy": "trivialaugment", "erase": 0.5},
        {"policy": "augmix", "sampler": "weighted", "sampler_power": 0.5, "loss": "focal"},
    ],
)
def test_loader_workers_change_nothing(tmp_path: Path, online: dict) -> None:
    first, *others = (
        train_seed(new_run(num_workers=n, **online), seed=0, state_file=tmp_path / f"{n}.pt") for n in (0, 1, 2)
    )
    for other in others:
        assert same(first.weights, other.weights)
        assert first.history == other.history


def test_the_selected_weights_are_the_best_on_validation(tmp_path: Path) -> None:
    for select, best in (("val_loss", min), ("val_accuracy", max)):
        one = new_run(select=select, lr=0.03)
        done = train_seed(one, seed=0, state_file=tmp_path / "a.pt")
        row = next(row for row in done.history if row["step"] == done.selected_step)
        assert row[select] == best(row[select] for row in done.history)
    last = train_seed(new_run(select="last"), seed=0, state_file=tmp_path / "a.pt")
    assert last.selected_step == 30


def test_without_a_validation_split_the_last_weights_are_taken(tmp_path: Path) -> None:
    done = train_seed(new_run(val=0), seed=0, state_file=tmp_path / "a.pt")
    assert done.selected_step == 30
    assert "val_loss" not in done.history[0]
    assert curve([done])["val_loss"].isna().all()


def test_it_learns(tmp_path: Path) -> None:
    assert train_seed(new_run(num_steps=60), seed=0, state_file=tmp_path / "a.pt").history[-1]["val_accuracy"] > 0.9


def test_epochs_are_passes_and_are_validated_at_their_end() -> None:
    one = new_run(num_steps=0, epochs=3, eval_steps=0)
    assert one.num_steps == 11  # 3 * 24 images in batches of 7
    assert [step for step in range(1, 12) if one.is_eval(step)] == [4, 7, 11]


def test_arms_of_one_seed_start_from_the_same_weights(tmp_path: Path) -> None:
    starts = [
        train_seed(
            new_run(num_steps=1, lr=1e-12, schedule="constant", batch_size=b), seed=5, state_file=tmp_path / f"{b}.pt"
        )
        for b in (3, 7)
    ]
    for name, value in starts[0].weights.items():
        assert torch.allclose(value, starts[1].weights[name], atol=1e-9)


def test_a_new_seed_trains_only_itself_and_another_fingerprint_starts_over(tmp_path: Path, capsys) -> None:
    first = train(new_run(seeds=(0, 1)), store=tmp_path, fingerprint="x")
    mark_complete(tmp_path, "x", request=request_of(new_run(seeds=(0, 1))))
    capsys.readouterr()
    second = train(new_run(seeds=(1, 2)), store=tmp_path, fingerprint="x")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "t seed 1: trained before"
    assert [line.partition(":")[0] for line in said[1:]] == ["t seed 2, replicate 2 of 2"]
    assert same(first[1].weights, second[0].weights)
    assert first[1].history == second[0].history
    train(new_run(seeds=(0,)), store=tmp_path, fingerprint="y")
    assert "trained before" not in capsys.readouterr().out


def age(folder: Path, seconds: float) -> None:
    """Make a folder and all in it look as if they were last used so long ago."""
    for file in (folder, *folder.rglob("*")):
        os.utime(file, (time.time() - seconds,) * 2)


def test_work_of_another_experiment_is_left_alone_until_nobody_has_used_it_for_long(tmp_path: Path) -> None:
    for fingerprint in ("unfinished", "delivered"):
        train(new_run(), store=tmp_path, fingerprint=fingerprint)
    mark_complete(tmp_path, "delivered", request="[0]")
    for seconds, left in ((0, 3), (3000, 3), (4000, 2), (6 * 86_400, 2), (8 * 86_400, 1)):
        for other in tmp_path.iterdir():
            if other.name != "mine":
                age(other, seconds)
        open_checkpoint(tmp_path, "mine")
        assert len(list(tmp_path.iterdir())) == left


def test_the_work_of_a_seed_on_other_images_is_left_alone_too(tmp_path: Path) -> None:
    old = only_folder(tmp_path, "seed-0", "other")
    only_folder(tmp_path, "seed-0", "mine")
    assert old.exists()
    age(old, 8 * 86_400)
    only_folder(tmp_path, "seed-0", "mine")
    assert not old.exists()


def test_seeds_that_are_trained_one_by_one_are_those_of_the_whole(tmp_path: Path, capsys) -> None:
    whole = train(new_run(seeds=(0, 1)), store=tmp_path / "whole", fingerprint="x")
    for seed in (1, 0):
        [alone] = train(new_run(seeds=(0, 1)), store=tmp_path / "parts", fingerprint="x", seeds=[seed])
        assert alone.seed == seed
    capsys.readouterr()
    gathered = train(new_run(seeds=(0, 1)), store=tmp_path / "parts", fingerprint="x")
    assert capsys.readouterr().out.count("trained before") == 2
    assert [one.history for one in gathered] == [one.history for one in whole]
    assert all(same(one.weights, other.weights) for one, other in zip(gathered, whole, strict=True))


def test_a_replicate_has_its_own_images_and_normalisation_and_another_trains_only_itself(
    tmp_path: Path, capsys
) -> None:
    sets = {seed: combine(Arm(), train=labelled(24, seed), name="real") for seed in range(4)}
    run = new_run(seeds=(0, 1), data={0: sets[0], 1: sets[1]})
    trained = train(run, store=tmp_path / "store", fingerprint="x")
    (tmp_path / "run").mkdir()
    deliver(tmp_path / "run", run, trained, meta=META)
    metadata = load_run_metadata(tmp_path / "run")
    means = [float(net.mean.squeeze()) for net in load_nets(tmp_path / "run", metadata)]
    assert means == pytest.approx([statistics(sets[seed])[0][0] for seed in (0, 1)])
    assert means[0] != means[1]
    capsys.readouterr()
    third = new_run(seeds=(0, 1, 2), data={0: sets[0], 1: sets[3], 2: sets[2]})
    again = train(third, store=tmp_path / "store", fingerprint="x")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "t seed 0: trained before"
    ended = ["t seed 1, replicate 2 of 3", "t seed 2, replicate 3 of 3"]
    assert [line.partition(":")[0] for line in said[1:]] == ended, "1 has other images now"
    assert same(trained[0].weights, again[0].weights)
    assert not same(trained[1].weights, again[1].weights)
    assert same(trained[0].weights, train_seed(new_run(), seed=0, state_file=tmp_path / "0.pt").weights)


def test_the_same_seeds_again_are_trained_again_once_delivered(tmp_path: Path, capsys, monkeypatch) -> None:
    """`dvc repro --force` is a check, not a copy of the store, and a kill before delivery loses nothing."""
    first = train(new_run(), store=tmp_path, fingerprint="x")
    train(new_run(), store=tmp_path, fingerprint="x")
    assert "t seed 0: trained before" in capsys.readouterr().out
    mark_complete(tmp_path, "x", request=request_of(new_run()))
    with monkeypatch.context() as patch:
        patch.setenv(KEEP, "1")
        train(new_run(), store=tmp_path, fingerprint="x")
    assert "t seed 0: trained before" in capsys.readouterr().out
    second = train(new_run(), store=tmp_path, fingerprint="x")
    assert "trained before" not in capsys.readouterr().out
    assert second[0].images_per_second > 0
    assert same(first[0].weights, second[0].weights)


def test_history_is_plain_json(tmp_path: Path) -> None:
    done = train_seed(new_run(), seed=0, state_file=tmp_path / "a.pt")
    assert [row["step"] for row in done.history] == [5, 10, 15, 20, 25, 30]
    assert json.loads(json.dumps(done.history)) == done.history


def test_validation_figures_are_those_of_the_weights(tmp_path: Path) -> None:
    one = new_run(select="last")
    trained = train_seed(one, seed=0, state_file=tmp_path / "a.pt")
    net = build("lenet", num_classes=2, in_channels=1, input_size=16, options={})
    net.load_state_dict(trained.weights)
    out = logits(Classifier(net, head="11", mean=one.mean, std=one.std), batches(one.val, one.view))
    accuracy = np.mean(out.argmax(1).numpy() == one.val_labels)
    assert trained.history[-1]["val_accuracy"] == pytest.approx(accuracy)

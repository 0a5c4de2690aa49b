"""Tests the settings that an entry with probe may have, and the line that a mistake in it gives."""

import pytest

from kit.params import load, message
from touchstone.config.probes import remark
from touchstone.config.schema.model import Phase

PROBE = ("models.simple={probe: {}, weights: data/weights/a.safetensors}", "data.channels=3")


def test_a_probe_takes_no_steps_from_train(tmp_path) -> None:
    more = "train.hflip=true", "train.budget=tuned", "train.patience=2", "train.class_weights=balanced"
    model = load(tmp_path, *PROBE, *more).models["simple"]
    assert model.probe is not None
    assert (model.probe.C, model.probe.folds) == ("auto", 5)
    assert model.phases == (Phase(trainable=("head",), epochs=1, class_weights="balanced"),)
    assert (model.select, model.budget, model.patience) == ("last", "equal_steps", 0)


def test_its_own_settings_are_kept(tmp_path) -> None:
    changes = "models.simple.probe={C: 1, folds: 3}", "models.simple.test_flips=true", "models.simple.num_threads=2"
    model = load(tmp_path, *PROBE, *changes).models["simple"]
    assert model.probe is not None
    assert (model.probe.C, model.probe.folds, model.test_flips, model.num_threads) == (1.0, 3, True, 2)


def test_a_finetune_may_start_from_a_probe_and_be_one(tmp_path) -> None:
    whole = "finetunes.whole={init_from: simple-real, net: simple}"
    again = "finetunes.again={init_from: lenet-real, net: lenet, probe: {}}"
    settings = load(tmp_path, *PROBE, whole, again)
    assert settings.finetunes["whole"].probe is None
    assert settings.finetunes["again"].probe is not None


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (["models.simple.probe={C: 0}"], ["models.simple.probe.C: got 0", "a number above 0, or auto"]),
        (["models.simple.probe={C: best}"], ["models.simple.probe.C: got 'best'", "a number above 0, or auto"]),
        (["models.simple.probe={c: 1}"], ["models.simple.probe.c: unknown key", "known keys: C, folds"]),
        (["models.simple.probe={folds: 1}"], ["models.simple.probe.folds: got 1", "greater than or equal to 2"]),
        (["models.simple.probe=true"], ["models.simple.probe: got True"]),
        (["models.simple.phases=[{epochs: 1}]"], ["models.simple.phases: a probe takes no steps", "take phases out"]),
        (["models.simple.hflip=true"], ["models.simple.hflip: a probe", "sees each image as it is"]),
        (["models.simple.lr=0.1"], ["models.simple.lr: a probe", "class_weights, deterministic, num_threads"]),
        (["models.simple.weights=none"], ["models.simple.weights: none: a probe is fitted on the features", "random"]),
        (["models.simple.crops=five"], ["models.simple.crops: a probe fits one feature an image", "set centre"]),
        (["arms.more={add: [brighter], schedule: pretrain}"], ["arms.more.schedule: pretrain", "the probe simple"]),
        (["audit.encoder.probe={}"], ["audit.encoder.probe: is not for the encoder"]),
        (["train.probe={}"], ["train.probe: unknown key"]),
    ],
)
def test_a_mistake_is_one_line(tmp_path, changes: list[str], parts: list[str]) -> None:
    text = message(tmp_path, *PROBE, *changes)
    for part in parts:
        assert part in text


def test_equal_replicates_are_remarked(tmp_path) -> None:
    text = remark(load(tmp_path, *PROBE, "train.replicates=3", "train.vary=seed"))
    assert text.startswith("models.simple.probe: draws nothing at random, so with train.vary: seed its 3 replicates")
    assert text.count("\n") == 1
    for changes in (["train.replicates=1", "train.vary=seed"], ["train.vary=all"]):
        assert remark(load(tmp_path, *PROBE, "train.replicates=3", "train.vary=seed", *changes)) == ""


def test_random_features_are_remarked(tmp_path) -> None:
    text = remark(load(tmp_path, *PROBE, "models.simple.weights=random", "train.replicates=3", "train.vary=seed"))
    assert text.startswith("models.simple.weights: random: this probe is fitted on random features")
    assert text.count("\n") == 1, "its seeds differ"

"""The recipes of transfer learning: their settings fit their nets, and their models train from given weights."""

import hashlib
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torchvision import models as torchvision_models

from kit.images import image_set
from kit.project import ROOT
from kit.training import META
from touchstone.config.load import load
from touchstone.config.schema.data import Arm
from touchstone.config.schema.machine import Machine
from touchstone.data.training_set import combine
from touchstone.models.checks import check_models
from touchstone.models.initial_weights import EVERY_SEED, InitialWeights
from touchstone.models.nets import published_weights
from touchstone.models.pretrained import write_body
from touchstone.training.loop import train_seed
from touchstone.training.setup import set_up

RECIPES = {"transfer_resnet18": "resnet18", "transfer_efficientnet": "efficientnet_b0"}
BATCH, IMAGES = 8, 16


@pytest.mark.parametrize("recipe", [*RECIPES, "transfer_mobilenet"])
def test_models_differ_in_their_optimizer_alone(recipe: str) -> None:
    settings = load(ROOT / f"recipes/{recipe}/params.yaml")
    assert (settings.train.replicates, settings.data.val_fraction) == (3, 0)
    for adamw, sgd in ((name, name.replace("adamw", "sgd")) for name in settings.models if name.startswith("adamw")):
        one, other = settings.models[adamw], settings.models[sgd]
        assert settings.compare.against[adamw] == f"{sgd}-real"
        assert one.model_copy(update={"phases": other.phases}) == other
        of_optimizer = {"optimizer", "lr", "momentum", "weight_decay", "schedule", "decay_epochs", "decay"}
        for first, second in zip(one.phases, other.phases, strict=True):
            assert first.model_dump(exclude=of_optimizer) == second.model_dump(exclude=of_optimizer)
            assert (first.optimizer, first.schedule) == ("adamw", "one_cycle")
            assert (second.optimizer, second.schedule) == ("sgd", "step")
            assert (second.momentum, second.decay_epochs, second.decay) == (0.9, 7, 0.1)
            assert second.lr == (0.002 if one.input_size == 64 else 0.001)
        assert [phase.trainable for phase in one.phases] == [("head",), ("all",)]


@pytest.mark.parametrize("recipe", RECIPES)
def test_models_train_from_a_publishers_weights(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights stand for the publisher's, in a mirror; two steps of each phase at 32 px."""
    settings = load(ROOT / f"recipes/{recipe}/params.yaml")
    check_models(settings)  # builds the nets at their sizes, without weights
    torch.manual_seed(0)
    theirs = getattr(torchvision_models, RECIPES[recipe])().state_dict()
    torch.save(theirs, tmp_path / "new.pth")
    digits = hashlib.sha256((tmp_path / "new.pth").read_bytes()).hexdigest()[:8]
    file = (tmp_path / "new.pth").rename(tmp_path / f"{RECIPES[recipe]}-{digits}.pth")
    for name, model in settings.models.items():
        source = published_weights(model.net, model.weights, model.options)
        monkeypatch.setattr(torchvision_models.get_weight(source).value, "url", f"https://example.org/{file.name}")
        phases = tuple(phase.model_copy(update={"epochs": 0, "num_steps": 2}) for phase in model.phases)
        tiny = model.model_copy(
            update={"input_size": 32, "test_input_size": 0, "phases": phases, "batch_size": BATCH, "seeds": (0,)}
        )
        where = {"old": tmp_path / "none.json", "mirror": str(tmp_path), "downloads": tmp_path / "downloads"}
        write_body(tmp_path / "body.safetensors", tiny, channels=3, **where)
        body = safetensors.torch.load_file(tmp_path / "body.safetensors")
        run = set_up(
            name,
            settings=tiny,
            data=combine(Arm(), train=image_set(["a", "b"] * (IMAGES // 2), side=32), name="real"),
            val=image_set([], side=32),
            meta=META | {"channels": 3, "image_size": 32},
            machine=Machine(accelerator="cpu"),
            features=tmp_path / "features",
            initial=InitialWeights("imagenet", tensors={EVERY_SEED: body}),
        )
        trained = train_seed(run, seed=0, state_file=tmp_path / f"{name}.pt").weights
        assert any(not torch.equal(trained[key], theirs[key]) for key in body), "all is trained in the end"
        frozen = [key for key in body if key.endswith("running_mean")]
        assert all(torch.equal(trained[key], theirs[key]) for key in frozen), "but the statistics of batch norms"

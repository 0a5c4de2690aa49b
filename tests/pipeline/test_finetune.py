"""Finetunes start from the weights of the right run, and bad combinations are refused in one line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from kit.images import image_set
from kit.params import load, message
from kit.project import ROOT, project, run
from touchstone.config.load import resolve_model
from touchstone.config.schema.data import Arm
from touchstone.config.schema.machine import Machine
from touchstone.data.training_set import combine
from touchstone.errors import TouchstoneError
from touchstone.models.checks import check_plan
from touchstone.models.initial_weights import RANDOM, InitialWeights, check_fit, load_initial_weights
from touchstone.models.nets import build
from touchstone.models.runs import load_run_metadata
from touchstone.training.classifier import build_classifier
from touchstone.training.run import deliver, train
from touchstone.training.setup import TrainingRun, set_up

META = {"classes": ["a", "b"], "channels": 3, "image_size": 16, "resize": "squash", "max_pixels": 10**6}
GRAPH = "{net: resnet_graph_attention, init_from: lenet-real}"


def new_run(initial: InitialWeights = RANDOM, **changes) -> TrainingRun:
    settings = {
        "net": "resnet_cifar",
        "input_size": 16,
        "num_steps": 2,
        "batch_size": 4,
        "num_threads": 1,
        "seeds": (0, 3),
    }
    images = image_set(["a", "b"] * 6, side=16, channels=3, seed=0)
    return set_up(
        "t",
        settings=resolve_model(settings | changes),
        data=combine(Arm(), train=images, name="real"),
        val=image_set(["a", "b"], side=16, channels=3, seed=1),
        meta=META,
        machine=Machine(accelerator="cpu"),
        initial=initial,
    )


@pytest.fixture(scope="module")
def origin(tmp_path_factory) -> Path:
    """A trained run `runs/first-real`, and its note `note.json`."""
    folder = tmp_path_factory.mktemp("origin")
    (folder / "runs/first-real").mkdir(parents=True)
    one = new_run()
    deliver(folder / "runs/first-real", one, train(one, store=folder / "store", fingerprint="x"), meta=META)
    InitialWeights.of_run("first-real", runs=folder / "runs").write(folder / "note.json")
    return folder


def test_each_seed_starts_from_the_same_seed_with_the_normalisation_of_that_run(origin: Path) -> None:
    start = load_initial_weights(origin / "note.json", runs=origin / "runs")
    one = new_run(start, net="resnet_graph_attention")
    card = load_run_metadata(origin / "runs/first-real")
    assert (one.mean, one.std) == (card.mean, card.std)
    for seed in (0, 3):
        net = build_classifier(one, seed).net
        kept = safetensors.torch.load_file(origin / f"runs/first-real/seed-{seed}.safetensors")
        own = net.state_dict()
        assert all(torch.equal(value, own[name]) for name, value in kept.items()), "its head, too"
        assert {name for name in own if name not in kept} == {n for n in own if n.startswith("attention.")}


def test_the_block_alone_is_trained(origin: Path, tmp_path: Path) -> None:
    start = load_initial_weights(origin / "note.json", runs=origin / "runs")
    settings = {"net": "resnet_graph_attention", "trainable": ("attention",), "num_steps": 4, "select": "last"}
    before = build_classifier(new_run(start, **settings), 0).net.state_dict()
    after = train(new_run(start, **settings), store=tmp_path, fingerprint="x")[0].weights
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {name for name in after if name.startswith("attention.")}, "batch norms stand still, too"


def test_another_seed_trains_no_other_anew(origin: Path, tmp_path: Path, capsys) -> None:
    start = load_initial_weights(origin / "note.json", runs=origin / "runs")
    few = replace(start, sha256={"0": start.sha256["0"]}, tensors={"0": start.tensors["0"]})
    first = train(new_run(few, seeds=(0,)), store=tmp_path, fingerprint="x")
    both = train(new_run(start), store=tmp_path, fingerprint="x")
    assert "seed 0: trained before" in capsys.readouterr().out
    assert all(torch.equal(value, both[0].weights[name]) for name, value in first[0].weights.items())
    other = replace(start, sha256=start.sha256 | {"0": "f" * 64})
    train(new_run(other), store=tmp_path, fingerprint="x")
    assert "seed 3: trained before" in (said := capsys.readouterr().out)
    assert "seed 0: trained before" not in said, "what it starts from is another"


def test_a_note_says_what_training_must_find(origin: Path, tmp_path: Path) -> None:
    for content, said in ((b"other", "not the weights that"), (None, "cannot be read")):
        copy = tmp_path / said.replace(" ", "-")
        (copy / "first-real").mkdir(parents=True)
        for seed in (0, 3):
            if content is not None:
                (copy / f"first-real/seed-{seed}.safetensors").write_bytes(content)
        with pytest.raises(TouchstoneError, match=said):
            load_initial_weights(origin / "note.json", runs=copy)
    with pytest.raises(TouchstoneError, match="no readable run"):
        InitialWeights.of_run("gone-real", runs=tmp_path)
    with pytest.raises(TouchstoneError, match=r"first-real has no seed 7 to start from"):
        new_run(load_initial_weights(origin / "note.json", runs=origin / "runs"), seeds=(0, 7))


def test_a_seed_whose_origin_diverged_counts_as_diverged(origin: Path, tmp_path: Path) -> None:
    note = json.loads((origin / "note.json").read_text()) | {"diverged": {"3": "the loss exploded"}}
    (tmp_path / "note.json").write_text(json.dumps(note))
    one = new_run(load_initial_weights(tmp_path / "note.json", runs=origin / "runs"))
    (tmp_path / "run").mkdir()
    deliver(tmp_path / "run", one, train(one, store=tmp_path / "store", fingerprint="x"), meta=META)
    assert load_run_metadata(tmp_path / "run").diverged == {"3": "first-real, which it starts from: the loss exploded"}


def test_weights_of_another_net_are_refused() -> None:
    nets = [
        build(name, num_classes=2, in_channels=1, input_size=16, options={})
        for name in ("lenet", "simple", "resnet_cifar")
    ]
    with pytest.raises(TouchstoneError, match=r"lenet-real: the weights do not fit simple .*: \d+ unknown"):
        check_fit(nets[0].state_dict(), nets[1].state_dict(), source="lenet-real", net_name="simple")
    other = build("resnet_cifar", num_classes=2, in_channels=3, input_size=16, options={})
    with pytest.raises(
        TouchstoneError, match=r"1 of another shape \(conv1.weight \(64, 3, 3, 3\), not \(64, 1, 3, 3\)"
    ):
        check_fit(other.state_dict(), nets[2].state_dict(), source="r", net_name="resnet_cifar")
    twin = build("resnet_cifar", num_classes=2, in_channels=1, input_size=16, options={})
    InitialWeights("r", sha256={"3": ""}, tensors={"3": nets[2].state_dict()}).load_into(twin, seed=3, net_name="")
    assert all(torch.equal(value, twin.state_dict()[name]) for name, value in nets[2].state_dict().items())


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (
            ["finetunes={graph: {net: lenet, init_from: lenet-rael}}"],
            ["finetunes.graph.init_from", "did you mean lenet-real?"],
        ),
        (["finetunes={graph: {net: lenet}}"], ["finetunes.graph.init_from: missing"]),
        (["finetunes={graph: {net: lenet, init_from: graph-real}}"], ["a circle, graph <- graph"]),
        (
            [
                "finetunes={a: {net: lenet, init_from: b-real}, b: {net: lenet, init_from: c-real}, "
                "c: {net: lenet, init_from: a-real}}"
            ],
            ["finetunes.a.init_from: a circle, a <- b <- c <- a"],
        ),
        (["finetunes={lenet: {net: lenet, init_from: simple-real}}"], ["finetunes.lenet: a model has that name"]),
        (
            ["finetunes={x: {net: lenet, init_from: lenet-real, lr: auto}}"],
            ["finetunes.x.lr: auto is found for models"],
        ),
        (
            ["finetunes={x: {net: lenet, init_from: lenet-real, weights: imagenet}}"],
            ["finetunes.x.weights", "take it out"],
        ),
        (
            ["finetunes={x: {net: lenet, init_from: lenet-real, lrr: 1}}"],
            ["finetunes.x.lrr: unknown key", "did you mean lr?"],
        ),
        (["compare.against={lenett: simple-real}"], ["compare.against", "did you mean lenet?"]),
        (["compare.against={lenet: simple-rael}"], ["compare.against.lenet", "did you mean simple-real?"]),
        (["compare.against={lenet: lenet-real}"], ["compare.against.lenet", "itself"]),
        (["explain.images=99"], ["explain.images: got 99"]),
    ],
)
def test_params_that_cannot_be_are_one_line(tmp_path: Path, changes: list[str], parts: list[str]) -> None:
    text = message(tmp_path, *changes)
    for part in parts:
        assert part in text


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        (
            "{net: simple, init_from: lenet-real, input_size: 32}",
            ["finetunes.x: init_from: lenet-real: the weights do not fit simple"],
        ),
        (
            "{net: lenet, init_from: lenet-real, input_size: 32, trainable: [attention]}",
            ["finetunes.x", "trainable: got 'attention'"],
        ),
        ("{net: resnet_graph_attention, init_from: lenet-real, options: {patch: 5}}", ["finetunes.x", "patch: got 5"]),
    ],
)
def test_what_the_stage_settings_refuses(tmp_path: Path, entry: str, parts: list[str]) -> None:
    space = project(tmp_path / "space", f"finetunes={{x: {entry}}}")
    done = run("python", str(space / "stages/settings.py"), cwd=space, check=False)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1
    for part in parts:
        assert part in lines[0]


def test_a_new_part_that_nothing_trains_is_refused() -> None:
    origin = resolve_model({"net": "resnet_cifar", "input_size": 16, "num_steps": 1})
    entry = {"net": "resnet_graph_attention", "input_size": 16, "num_steps": 1, "init_from": "r-real"}
    check_plan("x", resolve_model(entry | {"trainable": ("attention",)}), origin, channels=1)
    with pytest.raises(
        TouchstoneError, match=r"x: trainable: no phase trains attention\.embed\.bias, which r-real lacks"
    ):
        check_plan("x", resolve_model(entry | {"trainable": ("head",)}), origin, channels=1)


def test_what_is_compared_with_what(tmp_path: Path) -> None:
    settings = load(
        tmp_path, "finetunes={x: {net: lenet, init_from: lenet-real}}", "compare.against={simple: lenet-fixed}"
    )
    assert settings.baseline("lenet", "real") == ""
    assert settings.baseline("lenet", "fixed") == "lenet-real"
    assert settings.baseline("x", "real") == "lenet-real", "what it started from"
    assert settings.baseline("x", "fixed") == "x-real"
    assert settings.baseline("simple", "real") == "lenet-fixed"
    assert settings.runs[-1].startswith("x-")


@pytest.mark.slow
def test_the_graph_follows_init_from(tmp_path: Path) -> None:
    """The backbone's learning rate re-runs it and what started from it, the block's what started from it alone."""
    space = project(
        tmp_path / "space",
        "generators={}",
        "transforms={repeat: {}}",
        "arms={real: {add: []}}",
        "explain.runs=[]",
        "ensembles={}",
        "models={first: {net: lenet, input_size: 32}, other: {net: simple, input_size: 32}}",
        "finetunes={more: {net: lenet, input_size: 32, init_from: first-real}, "
        "again: {net: lenet, input_size: 32, init_from: more-real}}",
        "train.num_steps=4",
        "train.eval_steps=2",
        "train.replicates=1",
        "audit.encoder={net: lenet, input_size: 32, num_steps: 4}",
        "compare.num_resamples=100",
    )
    run("dvc", "repro", cwd=space)
    trained = {"train@first-real", "train@other-real", "finetune@more-real", "finetune@again-real"}

    def ran(change: str) -> set[str]:
        out = run("dvc", "exp", "run", "-S", change, cwd=space).stdout
        return {line.split("'")[1] for line in out.splitlines() if line.startswith("Running stage")}

    found = ran("+finetunes.more.lr=0.01")
    assert found & trained == {"finetune@more-real", "finetune@again-real"}
    assert "start@again" in found
    assert "start@more" not in found
    found = ran("+models.first.lr=0.01")
    assert found & trained == trained - {"train@other-real"}
    assert {"start@more", "start@again", "predict_finetuned@again-real"} <= found
    assert "predict@other-real" not in found
    assert ran("+models.other.lr=0.01") & trained == {"train@other-real"}
    assert "**more-real**" in (space / "metrics/report.md").read_text()


def test_every_params_file_has_the_section() -> None:
    for file in [ROOT / "params.yaml", *ROOT.glob("recipes/*/params.yaml")]:
        assert "\nfinetunes:" in file.read_text(), file

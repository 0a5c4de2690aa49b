"""Students: the loss against its formula, what teachers see, whose nets they are, and the same bytes in every way."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kit.params import load, message
from kit.training import META, Killed, interrupt, labelled, new_run, same
from touchstone.errors import TouchstoneError
from touchstone.models.runs import load_nets, load_run_metadata
from touchstone.models.teachers import Teachers, load_teachers, write_note
from touchstone.training import loop
from touchstone.training.distillation import Distillation, distillation
from touchstone.training.loop import Trained, train_seed
from touchstone.training.objective import MultiLabel, SingleLabel
from touchstone.training.run import deliver, train
from touchstone.training.setup import TrainingRun

TAUGHT: dict[str, Any] = {"teachers": ("big", "small"), "temperature": 3.0, "teacher_weight": 0.7, "num_steps": 20}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of two seeds each, and the notes of them."""
    folder = tmp_path_factory.mktemp("teachers")
    for name, net in (("big", "lenet_bn"), ("small", "lenet")):
        one = new_run(net=net, seeds=(0, 1), num_steps=15)
        (folder / f"runs/{name}-real").mkdir(parents=True)
        deliver(folder / f"runs/{name}-real", one, train(one, store=folder / name, fingerprint="x"), meta=META)
        write_note(folder / f"notes/{name}.json", f"{name}-real", runs=folder / "runs")
    return folder


def student(runs: Path, **changes: Any) -> TrainingRun:
    settings = TAUGHT | changes
    return new_run(teachers_of=load_teachers(runs / "notes", settings["teachers"], runs=runs / "runs"), **settings)


def trained(folder: Path, name: str, run: TrainingRun) -> Trained:
    return train_seed(run, seed=1, state_file=folder / f"{name}.pt")


def equal(one: Trained, two: Trained) -> bool:
    return same(one.weights, two.weights) and one.history == two.history


def test_the_loss_is_hintons() -> None:
    torch.manual_seed(0)
    logits, labels, T = torch.randn(6, 4), torch.randint(0, 4, (6,)), 3.0
    teachers = [torch.randn(6, 4), torch.randn(6, 4)]
    taught = Distillation([], temperature=T, weight=0.7, multi_label=False)
    q = (torch.softmax(teachers[0] / T, 1) + torch.softmax(teachers[1] / T, 1)) / 2
    targets = taught._mean(teachers)
    assert torch.allclose(targets, q)
    hard = SingleLabel(labels.numpy(), 4).loss(logits, labels)
    p = torch.softmax(logits / T, 1)
    divergence = (q * (q.log() - p.log())).sum(1).mean()
    assert float(taught.loss(logits, targets, hard)) == pytest.approx(float(0.3 * hard + 0.7 * T**2 * divergence))
    alike = Distillation([], temperature=T, weight=1.0, multi_label=False)
    assert float(alike.loss(logits, torch.softmax(logits / T, 1), hard)) == pytest.approx(0, abs=1e-5)


def test_with_several_labels_each_label_is_taught() -> None:
    torch.manual_seed(0)
    logits, labels, T = torch.randn(6, 4), torch.randint(0, 2, (6, 4)).float(), 2.0
    taught = Distillation([], temperature=T, weight=0.4, multi_label=True)
    q = taught._mean([torch.randn(6, 4)])
    hard = MultiLabel(labels.numpy(), 4).loss(logits, labels)
    p = torch.sigmoid(logits / T)
    divergence = (q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()).mean()
    assert float(taught.loss(logits, q, hard)) == pytest.approx(float(0.6 * hard + 0.4 * T**2 * divergence), rel=1e-5)
    sure = torch.tensor([[0.0, 1.0]])
    assert bool(torch.isfinite(taught.loss(torch.zeros(1, 2), sure, hard)))


def test_large_temperatures_keep_the_size_of_gradients() -> None:
    """At a high temperature the gradient is that of half the squared distance of centred logits, divided by K."""
    torch.manual_seed(0)
    logits, teacher = torch.randn(5, 4, requires_grad=True), torch.randn(5, 4)
    taught = Distillation([], temperature=1000.0, weight=1.0, multi_label=False)
    taught.loss(logits, taught._mean([teacher]), torch.tensor(0.0)).backward()
    centred = (logits - logits.mean(1, keepdim=True) - teacher + teacher.mean(1, keepdim=True)).detach()
    assert torch.allclose(logits.grad, centred / 4 / 5, atol=2e-3)


def test_teachers_see_the_students_batch(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    before, step = Distillation.of_pixels, loop.train_step

    def of_pixels(self: Distillation, pixels: torch.Tensor) -> torch.Tensor:
        seen.append(pixels)
        return before(self, pixels)

    def watching(phase: Any, state: Any, batch: Any, **engine: Any) -> dict[str, torch.Tensor]:
        outputs = step(phase, state, batch, **engine)
        assert torch.equal(seen[-1], outputs["inputs"]), "augmented, on the fly"
        assert phase.class_weights is not None
        return outputs

    monkeypatch.setattr(Distillation, "of_pixels", of_pixels)
    monkeypatch.setattr(loop, "train_step", watching)
    trained(tmp_path, "a", student(runs, policy="randaugment", class_weights="balanced", engine="torch"))
    assert len(seen) == 20


def test_mixed_images_are_normalised_anew_for_each_teacher(runs: Path) -> None:
    one = student(runs)
    taught = distillation(one, 0)
    assert taught is not None
    pixels = torch.from_numpy(labelled(8, 3).images)
    mean, std = torch.tensor([90.0])[:, None, None], torch.tensor([40.0])[:, None, None]
    mixed = (pixels.float().permute(0, 3, 1, 2) - mean) / std
    assert torch.allclose(taught.of_mixed(mixed, mean=mean, std=std), taught.of_pixels(pixels), atol=1e-5)
    own = taught.nets[0]
    assert torch.allclose(
        taught.of_mixed(own.normalised(pixels), mean=own.mean, std=own.std), taught.of_pixels(pixels), atol=1e-5
    )


def test_seed_by_seed_the_mean_of_the_teachers_answers(runs: Path) -> None:
    pixels = torch.from_numpy(labelled(8, 3).images)
    for seed in (0, 1):
        taught = distillation(student(runs, temperature=1.0), seed)
        assert taught is not None
        probs = []
        for name in ("big-real", "small-real"):
            folder = runs / "runs" / name
            net = load_nets(folder, load_run_metadata(folder))[seed].eval()
            with torch.no_grad():
                probs.append(torch.softmax(net(pixels), 1))
        assert torch.allclose(taught.of_pixels(pixels), torch.stack(probs).mean(0), atol=1e-6)


def test_a_student_nears_its_teachers(runs: Path, tmp_path: Path) -> None:
    """Taught by teachers alone, on labels that are wrong."""
    one = student(runs, teacher_weight=1.0, num_steps=150, select="last", lr=0.005)
    wrong = replace(one, objective=SingleLabel(1 - one.objective.labels, 2))
    done = trained(tmp_path, "a", wrong)
    assert done.history[-1]["val_accuracy"] > 0.9
    assert done.history[-1]["train_loss"] > 1, "the loss of the labels is what is shown"


@pytest.mark.parametrize(
    "changes", [{"policy": "trivialaugment"}, {"mixup": 0.4, "cutmix": 1.0, "accumulate": 3, "ema_decay": 0.9}]
)
def test_engines_workers_and_a_kill_give_the_same_bytes(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    whole = trained(tmp_path, "torch", student(runs, engine="torch", **changes))
    assert not same(whole.weights, trained(tmp_path, "alone", new_run(engine="torch", num_steps=20, **changes)).weights)
    assert equal(whole, trained(tmp_path, "lightning", student(runs, **changes)))
    for workers in (1, 2):
        assert equal(whole, trained(tmp_path, f"w{workers}", student(runs, num_workers=workers, **changes)))
    for engine in ("torch", "lightning"):
        with monkeypatch.context() as patch:
            interrupt(patch, 13)
            with pytest.raises(Killed):
                trained(tmp_path, f"k{engine}", student(runs, engine=engine, save_seconds=0.0, **changes))
        assert 0 < torch.load(tmp_path / f"k{engine}.pt", weights_only=True)["state"]["step"] < 20
        assert equal(whole, trained(tmp_path, f"k{engine}", student(runs, engine=engine, **changes)))


def test_a_frozen_students_features_are_not_cached_as_teachers_see_images(runs: Path, tmp_path: Path) -> None:
    frozen = {"trainable": ("head",), "weights": "random", "crop_padding": 0, "hflip": False}
    one = replace(student(runs, **frozen), features=tmp_path / "features")
    done = trained(tmp_path, "a", one)
    assert len(list((tmp_path / "features").glob("*.npy"))) == 1, "of the validation images alone"
    assert done.diverged is None


def test_other_weights_of_a_seed_train_that_seed_alone(runs: Path, tmp_path: Path, capsys) -> None:
    one = student(runs, seeds=(0, 1))
    train(one, store=tmp_path, fingerprint="x")
    train(one, store=tmp_path, fingerprint="x")
    assert capsys.readouterr().out.count("trained before") == 2
    big = one.teachers.runs["big-real"]
    other = replace(big, weights=big.weights | {"1": one.teachers.runs["small-real"].weights["1"]})
    changed = Teachers({"big-real": other, "small-real": one.teachers.runs["small-real"]}, one.teachers.folder)
    assert changed.own_inputs(0) == one.teachers.own_inputs(0)
    assert changed.own_inputs(1) != one.teachers.own_inputs(1)
    with pytest.raises(TouchstoneError, match=r"seed-1\.safetensors: damaged"):
        train(replace(one, teachers=changed), store=tmp_path, fingerprint="x")
    assert "seed 0: trained before" in capsys.readouterr().out
    tried = replace(big, selected_step={"0": 3, "1": 3})
    assert Teachers({"big-real": tried}, runs).own_inputs(0) == Teachers({"big-real": big}, runs).own_inputs(0)


def test_a_seed_whose_teacher_diverged_counts_as_diverged(runs: Path, tmp_path: Path) -> None:
    one = student(runs, seeds=(0, 1))
    lost = replace(one.teachers.runs["small-real"], diverged={"1": "the loss exploded"})
    taught = replace(one, teachers=replace(one.teachers, runs=one.teachers.runs | {"small-real": lost}))
    (tmp_path / "run").mkdir()
    deliver(tmp_path / "run", taught, train(taught, store=tmp_path / "store", fingerprint="x"), meta=META)
    said = "small-real, which it learns from: the loss exploded"
    assert load_run_metadata(tmp_path / "run").diverged == {"1": said}


def test_notes_are_of_the_runs_weights(runs: Path, tmp_path: Path) -> None:
    write_note(tmp_path / "none.json", None, runs=runs / "runs")
    assert json.loads((tmp_path / "none.json").read_text()) is None
    with pytest.raises(TouchstoneError, match=r"none\.json: no readable note of a run"):
        load_teachers(tmp_path, ("none",), runs=runs / "runs")
    with pytest.raises(TouchstoneError, match="no readable run"):
        write_note(tmp_path / "gone.json", "gone-real", runs=runs / "runs")
    with pytest.raises(TouchstoneError, match=r"t: big-real has no seed 7 to learn from; run `dvc repro`"):
        student(runs, seeds=(0, 7))


STUDENT = "students.x={net: lenet, input_size: 32, teachers: [lenet]}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["students.x={net: lenet}"], "students.x.teachers: missing; name the models to learn from"),
        (["students.x={teachers: []}"], "students.x.teachers"),
        (["students.x={teachers: [lenett]}"], "students.x.teachers: got 'lenett', expected one of lenet, simple"),
        (["students.x={teachers: [lenet, lenet]}"], "'lenet' is listed twice"),
        (["students.lenet={teachers: [simple]}"], "students.lenet: a model or a finetune has that name, too"),
        (
            ["students.x={net: lenet, input_size: 16, teachers: [lenet]}"],
            "students.x.teachers: lenet has input_size 32, and the student 16: they see the same batches",
        ),
        ([STUDENT, "students.x.temperature=0"], "students.x.temperature: got 0"),
        ([STUDENT, "students.x.teacher_weight=1.5"], "students.x.teacher_weight: got 1.5"),
        ([STUDENT, "students.x.lr=auto"], "students.x.lr: auto is found for models, without teachers"),
        ([STUDENT, "students.x.init_from=lenet-real"], "students.x.init_from: is for finetunes"),
        (["models.simple.teachers=[lenet]"], "models.simple.teachers: is for students; move the entry there"),
        ([STUDENT, "students.y={net: lenet, input_size: 32, teachers: [x]}"], "students.y.teachers: got 'x'"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, changes: list[str], said: str) -> None:
    assert said in message(tmp_path, *changes)


def test_students_are_runs_like_others(tmp_path: Path) -> None:
    settings = load(tmp_path, STUDENT, "compare.against={x: lenet-real}")
    assert settings.runs[-1].startswith("x-")
    assert settings.students["x"].role == "student"
    assert settings.baseline("x", "real") == "lenet-real"
    assert settings.key("x") == "students.x"

"""Training on several labels an image: five crops, cached features, marked objects, both engines, killed, resumed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kit.images import image_set
from kit.training import Killed, interrupt, same
from touchstone.config.load import resolve_model
from touchstone.config.schema.data import Arm
from touchstone.config.schema.machine import Machine
from touchstone.data.imageset import ImageSet
from touchstone.data.training_set import combine
from touchstone.errors import TouchstoneError
from touchstone.models.predict import probabilities
from touchstone.models.runs import load_nets, load_run_metadata
from touchstone.models.teachers import Teachers, load_teachers, write_note
from touchstone.training.loop import Trained, train_seed
from touchstone.training.run import curve, deliver
from touchstone.training.setup import TrainingRun, set_up

META: dict[str, Any] = {"classes": ["a", "b"], "channels": 1, "image_size": 16, "resize": "squash", "max_pixels": 10**6}
META["multi_label"] = True


def labelled(count: int, seed: int) -> ImageSet:
    """Class a has a bright left half, class b a bright right half; in every eighth image b is ignored."""
    images = image_set(["", "a", "b", "a|b"] * (count // 4), side=16, channels=1, seed=seed)
    images.images[:] //= 2
    for image, label in zip(images.images, images.table["label"], strict=True):
        for name, half in (("a", slice(0, 8)), ("b", slice(8, 16))):
            image[:, half] += 120 * (name in label)
    images.table["difficult"] = ["b" if i % 8 == 0 else "" for i in range(count)]
    return images


def new_run(
    tmp_path: Path | None = None,
    images: ImageSet | None = None,
    teachers_of: Teachers | None = None,
    **changes: Any,
) -> TrainingRun:
    settings: dict[str, Any] = {"net": "lenet", "input_size": 16, "seeds": (0,), "num_steps": 60, "batch_size": 8}
    settings |= {"lr": 0.01, "schedule": "one_cycle", "eval_steps": 10, "num_threads": 1, "select": "val_map"}
    return set_up(
        "t",
        settings=resolve_model(settings | changes),
        data=combine(Arm(), train=images or labelled(48, 0), name="real"),
        val=labelled(24, 1),
        meta=META,
        machine=Machine(accelerator="cpu", save_seconds=0.0),
        features=tmp_path,
        teachers=teachers_of,
    )


def trained(folder: Path, name: str, **changes: Any) -> Trained:
    return train_seed(new_run(**changes), seed=0, state_file=folder / f"{name}.pt")


@pytest.mark.parametrize(
    "changes",
    [
        {"class_weights": "balanced", "label_smoothing": 0.1, "test_flips": True},
        {"mixup": 0.4, "cutmix": 1.0},
        {"policy": "randaugment", "sampler": "weighted", "loss": "focal"},
        {"crops": "five", "crop_size": 12, "policy": "augmix", "erase": 0.5},
        {"crops": "five", "crop_size": 12, "input_size": 16, "rotate_deg": 10.0, "hflip": True, "ema_decay": 0.9},
    ],
)
def test_both_engines_and_a_kill_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    one = trained(tmp_path, "torch", engine="torch", **changes)
    two = trained(tmp_path, "lightning", **changes)
    assert same(one.weights, two.weights)
    assert one.history == two.history
    assert one.diverged is None
    interrupt(monkeypatch, at=33)
    with pytest.raises(Killed):
        trained(tmp_path, "killed", engine="torch", **changes)
    assert (tmp_path / "killed.pt").exists(), "it had saved its state before"
    monkeypatch.undo()
    assert same(trained(tmp_path, "killed", engine="torch", **changes).weights, one.weights)


def test_it_learns_both_labels_and_delivers_a_run_that_answers_alike(tmp_path: Path) -> None:
    one = new_run(crops="five", crop_size=12, input_size=16, num_steps=150)
    result = train_seed(one, seed=0, state_file=tmp_path / "s.pt")
    best = max(row["val_map"] for row in result.history)
    assert best > 0.9
    assert result.selected_step in [row["step"] for row in result.history if row["val_map"] == best]
    assert {"val_loss", "val_accuracy", "val_map"} <= set(curve([result]))
    (tmp_path / "run").mkdir()
    deliver(tmp_path / "run", one, [result], meta=META)
    metadata = load_run_metadata(tmp_path / "run")
    assert (metadata.multi_label, metadata.crop_size, metadata.view.num_crops) == (True, 12, 5)
    [net] = load_nets(tmp_path / "run", metadata)
    probs = probabilities(net, one.val, view=metadata.view, num_classes=2, multi_label=True)
    assert probs.shape == (24, 2)
    assert not np.allclose(probs.sum(1), 1), "each class has a probability of its own"
    right = (probs > 0.5) == (one.val_labels == 1)
    row = next(row for row in result.history if row["step"] == result.selected_step)
    assert right[~np.isnan(one.val_labels)].mean() == pytest.approx(row["val_accuracy"])


def test_the_metadata_of_a_single_label_run_does_not_mention_several(tmp_path: Path) -> None:
    from kit.training import META as SINGLE
    from kit.training import new_run as single

    result = train_seed(single(), seed=0, state_file=tmp_path / "s.pt")
    (tmp_path / "run").mkdir()
    deliver(tmp_path / "run", single(), [result], meta=SINGLE)
    text = (tmp_path / "run/model.json").read_text()
    assert "multi_label" not in text
    assert "crop_size" not in text
    assert not load_run_metadata(tmp_path / "run").multi_label
    for changes, said in (
        ({"select": "val_map"}, "val_map is for images of several"),
        ({"crops": "five"}, "set centre"),
    ):
        with pytest.raises(TouchstoneError, match=said):
            single(**changes)


def test_features_of_five_crops_are_cached_as_they_would_be_computed(tmp_path: Path) -> None:
    options: dict[str, Any] = {"net": "mobilenet_v2", "input_size": 32, "crops": "five", "crop_size": 12}
    options |= {"trainable": ("head",), "weights": "random", "num_steps": 6, "eval_steps": 3, "test_flips": True}
    cached = train_seed(new_run(tmp_path / "f", **options), seed=0, state_file=tmp_path / "a.pt")
    plain = train_seed(new_run(tmp_path / "f", feature_cache=False, **options), seed=0, state_file=tmp_path / "b.pt")
    assert sorted(np.load(file).shape[:2] for file in (tmp_path / "f").iterdir()) == [(24, 5), (24, 5), (48, 5)]
    for one, two in zip(cached.history, plain.history, strict=True):
        assert one == pytest.approx(two, rel=1e-3, abs=1e-4)


def test_what_is_marked_difficult_is_ignored(tmp_path: Path) -> None:
    marked, whole = labelled(48, 0), labelled(48, 0)
    whole.table["difficult"] = ""
    one, other = new_run(images=marked), new_run(images=whole)
    assert np.isnan(one.objective.labels).sum() == 6
    assert not np.isnan(other.objective.labels).any()
    result = [train_seed(each, seed=0, state_file=tmp_path / f"{i}") for i, each in enumerate((one, other))]
    assert not same(result[0].weights, result[1].weights)


def test_a_net_that_collapses_is_stopped(tmp_path: Path) -> None:
    result = trained(tmp_path, "s", lr=100.0, num_steps=600, schedule="constant", optimizer="sgd", select="last")
    assert result.diverged is not None
    assert all(torch.isfinite(value).all() for value in result.weights.values())


@pytest.mark.parametrize("changes", [{}, {"crops": "five", "crop_size": 12}, {"mixup": 0.4}])
def test_a_student_learns_each_label_from_a_teacher(tmp_path: Path, changes: dict[str, Any]) -> None:
    one = new_run(**changes)
    (tmp_path / "runs/first-real").mkdir(parents=True)
    deliver(tmp_path / "runs/first-real", one, [train_seed(one, seed=0, state_file=tmp_path / "t.pt")], meta=META)
    write_note(tmp_path / "notes/first.json", "first-real", runs=tmp_path / "runs")
    teachers = load_teachers(tmp_path / "notes", ("first",), runs=tmp_path / "runs")
    how = {"teachers": ("first",), "teacher_weight": 1.0, "temperature": 2.0, "net": "lenet_bn"} | changes
    done = [
        train_seed(new_run(teachers_of=teachers, engine=engine, **how), seed=0, state_file=tmp_path / f"{engine}.pt")
        for engine in ("torch", "lightning")
    ]
    assert same(done[0].weights, done[1].weights)
    assert done[0].history == done[1].history
    assert max(row["val_map"] for row in done[0].history) > 0.8, "without a label of its own"

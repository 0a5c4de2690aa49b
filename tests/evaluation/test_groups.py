"""A planted patient effect: what recognises patients looks like progress, unless patients stay on one side."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from touchstone.config.load import resolve_model
from touchstone.config.schema.data import Arm
from touchstone.config.schema.machine import Machine
from touchstone.data.imageset import ImageSet, compact
from touchstone.data.splits import assign
from touchstone.data.training_set import combine
from touchstone.evaluation.compare import compare_paired, judge, paired_accuracy
from touchstone.models.predict import probabilities
from touchstone.training.classifier import build_classifier
from touchstone.training.loop import train_seed
from touchstone.training.setup import set_up

PATIENTS, IMAGES, SIDE = 60, 10, 6


def pictures(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Small pictures (N, SIDE, SIDE), labels (N,), patients (N,). A patient has one label and one background."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(PATIENTS), IMAGES)
    labels = patients % 2
    background = rng.normal(0, 1, (PATIENTS, SIDE, SIDE))
    images = background[patients] + rng.normal(0, 0.5, (len(patients), SIDE, SIDE))
    images[:, 2:4, 2:4] = labels[:, None, None] * 0.5 + rng.normal(0, 1, (len(patients), 2, 2))
    return images, labels, patients


# (images to learn from, their labels, other images, seed) -> predicted labels of the others
Learn = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]


def regression(images: np.ndarray, labels: np.ndarray, others: np.ndarray, seed: int) -> np.ndarray:
    net = LogisticRegression(max_iter=500).fit(images.reshape(len(images), -1), labels)
    return net.predict(others.reshape(len(others), -1))


def verdict(seed: int, *, grouped: bool, learn: Learn) -> str:
    """Whether it helps a classifier of the centre to see the background, too, in three replicates of a study."""
    images, labels, patients = pictures(seed)
    keys = [f"patient {p}" if grouped else f"image {seed}-{i}" for i, p in enumerate(patients)]
    rules = {"has_test": False, "test_fraction": 0.4, "val_fraction": 0.0, "fold": "", "seed": seed}
    splits = np.array(assign(keys, [str(label) for label in labels], [""] * len(keys), **rules))
    train, test = np.flatnonzero(splits == "train"), splits == "test"
    centre = np.zeros_like(images)
    centre[:, 2:4, 2:4] = images[:, 2:4, 2:4]
    right: dict[str, list[np.ndarray]] = {"centre": [], "whole": []}
    for replicate in range(3):
        drawn = np.random.default_rng([seed, replicate]).choice(train, len(train))
        for name, part in (("centre", centre), ("whole", images)):
            right[name].append(learn(part[drawn], labels[drawn], part[test], replicate) == labels[test])
    groups = compact(patients[test]) if grouped else None
    paired = paired_accuracy(np.stack(right["whole"]), np.stack(right["centre"]), groups)
    return judge([compare_paired(paired, confidence=0.95)])[0].word


def test_split_by_image_the_verdict_is_wrong_and_by_patient_it_is_right() -> None:
    by_image, by_patient = (
        [verdict(seed, grouped=grouped, learn=regression) for seed in range(10)] for grouped in (False, True)
    )
    assert by_image.count("helps") >= 7
    assert "helps" not in by_patient
    assert by_patient.count("inconclusive") >= 9


@pytest.mark.slow
def test_so_it_is_of_trained_nets(tmp_path: Path) -> None:
    def as_images(pictures: np.ndarray, labels: np.ndarray) -> ImageSet:
        pixels = np.kron(np.clip(128 + 40 * pictures, 0, 255), np.ones((3, 3))).astype(np.uint8)[..., None]
        ids = [str(i) for i in range(len(labels))]
        return ImageSet(
            pixels, pd.DataFrame({"id": ids, "label": labels.astype(str), "source_id": ids, "origin": "real"})
        )

    def net(images: np.ndarray, labels: np.ndarray, others: np.ndarray, seed: int) -> np.ndarray:
        settings = {"net": "simple", "input_size": 3 * SIDE, "num_steps": 120, "batch_size": 32, "lr": 0.003}
        meta = {"classes": ["0", "1"], "channels": 1, "image_size": 3 * SIDE}
        train = as_images(images, labels)
        one = set_up(
            "t",
            settings=resolve_model(settings | {"seeds": (seed,), "schedule": "one_cycle", "engine": "torch"}),
            data=combine(Arm(), train=train, name="real"),
            val=train.take([]),
            meta=meta,
            machine=Machine(accelerator="cpu"),
        )
        trained = train_seed(one, seed=seed, state_file=tmp_path / "state.pt")
        classifier = build_classifier(one, seed)
        classifier.net.load_state_dict(trained.weights)
        probs = probabilities(
            classifier, as_images(others, np.zeros(len(others), int)), view=one.test_view, num_classes=2
        )
        return probs.argmax(1)

    by_image, by_patient = (
        [verdict(seed, grouped=grouped, learn=net) for seed in range(6)] for grouped in (False, True)
    )
    assert by_image.count("helps") >= 4
    assert "helps" not in by_patient

"""A planted patient effect: what recognises patients looks like progress, unless patients stay on one side."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from touchstone.data.imageset import compact
from touchstone.data.splits import assign
from touchstone.evaluation.compare import compare_paired, judge, paired_accuracy

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


def verdict(seed: int, *, grouped: bool) -> str:
    """Whether it helps a classifier of the centre to see the background, too, in three replicates of a study."""
    images, labels, patients = pictures(seed)
    keys = [f"patient {p}" if grouped else f"image {seed}-{i}" for i, p in enumerate(patients)]
    rules = {"has_test": False, "test_fraction": 0.4, "val_fraction": 0.0, "fold": "", "seed": seed}
    splits = np.array(assign(keys, [str(label) for label in labels], [""] * len(keys), **rules))
    train, test = np.flatnonzero(splits == "train"), splits == "test"
    answers: dict[str, list[np.ndarray]] = {"centre": [], "whole": []}
    for replicate in range(3):
        drawn = np.random.default_rng([seed, replicate]).choice(train, len(train))
        for name, part in (("centre", np.s_[:, 2:4, 2:4]), ("whole", np.s_[:])):
            inputs = images[part].reshape(len(images), -1)
            net = LogisticRegression(max_iter=500).fit(inputs[drawn], labels[drawn])
            answers[name].append(net.predict(inputs[test]) == labels[test])
    groups = compact(patients[test]) if grouped else None
    paired = paired_accuracy(np.stack(answers["whole"]), np.stack(answers["centre"]), groups)
    return judge([compare_paired(paired, confidence=0.95)])[0].word


def test_split_by_image_the_verdict_is_wrong_and_by_patient_it_is_right() -> None:
    by_image, by_patient = ([verdict(seed, grouped=grouped) for seed in range(10)] for grouped in (False, True))
    assert by_image.count("helps") >= 7
    assert "helps" not in by_patient
    assert by_patient.count("inconclusive") >= 9

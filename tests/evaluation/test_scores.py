"""The scores of one class an image by hand and by plain loops."""

import numpy as np
import pytest

from touchstone.evaluation.metrics import ECE
from touchstone.evaluation.scores import correct, per_class_accuracy, score

LABELS = np.array([0, 0, 1, 2])
PROBS = np.array(
    [
        [[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]],
        [[0.9, 0.05, 0.05], [0.6, 0.2, 0.2], [0.1, 0.8, 0.1], [0.5, 0.2, 0.3]],
    ],
    np.float32,
)


def test_scores_by_hand() -> None:
    out = score(PROBS, LABELS)
    assert out["accuracy"] == pytest.approx(0.75)
    assert out["accuracy_sd"] == pytest.approx(0.0)
    assert out["n_test"] == 4
    first = -np.log([0.7, 0.2, 0.8, 0.6]).mean()
    second = -np.log([0.9, 0.6, 0.8, 0.3]).mean()
    assert out["nll"] == pytest.approx((first + second) / 2, abs=1e-6)
    f1_first = np.mean([2 / 3, 2 / 3, 1.0])  # precision and recall of each class by hand
    f1_second = np.mean([2 * (2 / 3) / (2 / 3 + 1), 1.0, 0.0])
    assert out["macro_f1"] == pytest.approx((f1_first + f1_second) / 2)


def test_accuracy_sd_is_the_sample_standard_deviation_over_seeds() -> None:
    other = PROBS.copy()
    other[1, 2] = [0.8, 0.1, 0.1]
    assert score(other, LABELS)["accuracy_sd"] == pytest.approx(np.std([0.75, 0.5], ddof=1))
    assert score(PROBS[:1], LABELS)["accuracy_sd"] == 0.0


def test_macro_f1_leaves_out_classes_without_test_images() -> None:
    perfect = np.eye(3, dtype=np.float32)[[0, 0, 1, 1]][None] * 0.7 + 0.1
    assert score(perfect, np.array([0, 0, 1, 1]))["macro_f1"] == 1.0


def test_the_calibration_error_is_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(5), 400).astype(np.float32)
    labels = rng.integers(0, 5, 400)
    confidence, right = probs.max(1), probs.argmax(1) == labels
    gap = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.any():
            gap += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert ECE.values(probs[None], labels)[0] == pytest.approx(gap, abs=1e-5)


def test_per_class_accuracy_is_the_diagonal_of_the_confusion_matrix() -> None:
    assert per_class_accuracy(PROBS, LABELS).tolist() == [0.75, 1.0, 0.5]
    assert np.isnan(per_class_accuracy(PROBS, np.array([0, 0, 1, 1]))[2])
    assert correct(PROBS, LABELS).tolist() == [[True, False, True, True], [True, True, True, False]]

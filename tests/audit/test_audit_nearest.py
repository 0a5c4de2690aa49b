"""The training image nearest to each test image."""

import numpy as np
import pytest

from touchstone.audit import features as module
from touchstone.audit.features import Features, nearest


def features(values: np.ndarray, prefix: str) -> Features:
    ids = [f"{prefix}{i}" for i in range(len(values))]
    images, labels = np.zeros((len(values), 2, 2, 1), np.uint8), np.zeros(len(values), np.int64)
    return Features(values.astype(np.float32), labels, images, ids, agreement=1.0)


@pytest.mark.parametrize("block", [1, 50, 10**6])
def test_it_is_that_of_a_double_loop_however_the_work_is_cut(monkeypatch, block: int) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    rng = np.random.default_rng(0)
    test, train = rng.normal(size=(17, 5)), rng.normal(size=(9, 5))
    found = nearest(features(test, "t"), features(train, "k"))
    for i, row in enumerate(found.to_dict("records")):
        distances = [float(np.linalg.norm(test[i] - other)) for other in train]
        assert row["id"] == f"t{i}"
        assert row["nearest_id"] == f"k{int(np.argmin(distances))}"
        assert row["distance"] == pytest.approx(min(distances), abs=1e-3)


def test_of_equally_near_ones_the_first_counts_and_of_none_there_is_none() -> None:
    same = np.ones((3, 4))
    assert nearest(features(same[:1], "t"), features(same, "k"))["nearest_id"].tolist() == ["k0"]
    assert len(nearest(features(same, "t"), features(same[:0], "k"))) == 0
    assert nearest(features(same[:0], "t"), features(same, "k")).columns.tolist() == ["id", "nearest_id", "distance"]

"""The training image nearest to each test image."""

import numpy as np
import pytest

from touchstone.audit import nearest as module
from touchstone.audit.features import Seen
from touchstone.audit.nearest import nearest
from touchstone.audit.quality import Features


def seen(values: np.ndarray, prefix: str) -> Seen:
    features = Features(values.astype(np.float32), np.zeros(len(values), np.int64))
    return Seen(np.zeros((len(values), 2, 2, 1), np.uint8), [f"{prefix}{i}" for i in range(len(values))], features, 1.0)


@pytest.mark.parametrize("block", [1, 50, 10**6])
def test_it_is_that_of_a_double_loop_however_the_work_is_cut(monkeypatch, block: int) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    rng = np.random.default_rng(0)
    test, train = rng.normal(size=(17, 5)), rng.normal(size=(9, 5))
    found = nearest(seen(test, "t"), seen(train, "k"))
    for i, row in enumerate(found.to_dict("records")):
        distances = [float(np.linalg.norm(test[i] - known)) for known in train]
        assert row["id"] == f"t{i}"
        assert row["nearest_id"] == f"k{int(np.argmin(distances))}"
        assert row["distance"] == pytest.approx(min(distances), abs=1e-3)


def test_of_equally_near_ones_the_first_counts_and_of_none_there_is_none() -> None:
    same = np.ones((3, 4))
    assert nearest(seen(same[:1], "t"), seen(same, "k"))["nearest_id"].tolist() == ["k0"]
    assert len(nearest(seen(same, "t"), seen(same[:0], "k"))) == 0
    assert nearest(seen(same[:0], "t"), seen(same, "k")).columns.tolist() == ["id", "nearest_id", "distance"]

"""The reliability diagram of a run: bars at their bins, counts beneath, dots with a temperature."""

import pandas as pd
import pytest

from touchstone.report.facts import ReportedResult
from touchstone.report.reliability import BINS, COUNTS_TOP, SIDE, STRIP, diagram


@pytest.fixture
def drawn():
    rows = [(0.62, 0.5, 4, 0), (0.99, 0.75, 100, 0), (0.8, 0.75, 104, 1)]
    table = pd.DataFrame(rows, columns=["confidence", "accuracy", "images", "scaled"])
    return diagram(ReportedResult("lenet-real", "lenet", "real", {}, {}, table))


def test_a_bar_stands_on_its_bin_and_is_as_high_as_its_accuracy(drawn) -> None:
    low, high = drawn.bars
    assert (low.top, low.height) == (SIDE / 2, SIDE / 2)
    assert (high.top, high.height) == (SIDE / 4, 3 * SIDE / 4)
    for bar, place in ((low, 9), (high, 14)):  # .62 lies in (9/15, 10/15]
        assert SIDE * place / BINS <= bar.left < bar.left + bar.width <= SIDE * (place + 1) / BINS


def test_counts_hang_beneath_by_their_square_roots_and_few_are_pale(drawn) -> None:
    low, high = drawn.bars
    assert (low.many_height, high.many_height) == (pytest.approx(STRIP / 5, abs=0.05), STRIP)
    assert low.many_top + low.many_height == pytest.approx(COUNTS_TOP + STRIP, abs=0.1)
    assert (low.is_few, high.is_few) == (True, False)
    assert low.text == "confidence 0.62, accuracy 0.50, 4 predictions"


def test_dots_are_at_the_confidence_after_the_temperature(drawn) -> None:
    assert drawn.dots == [(160.0, 50.0)]
    assert drawn.csv.splitlines()[0] == "confidence,accuracy,images,scaled"

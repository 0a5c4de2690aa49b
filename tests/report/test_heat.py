"""The gain of each class under each arm, drawn with its interval, and the confusions that change most."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from touchstone.report import matrices
from touchstone.report.facts import Facts
from touchstone.report.heat import heat_maps


def with_gains(facts: Facts, *rows: tuple[float, float, float, str]) -> Facts:
    """lenet-more with these gains of its classes."""
    table = pd.DataFrame(rows, columns=["gain", "gain_low", "gain_high", "verdict"]).assign(p_holm=1.0)
    results = tuple(
        replace(result, class_gains=table) if result.name == "lenet-more" else replace(result, class_gains=None)
        for result in facts.results
    )
    return replace(facts, results=results)


def test_a_class_with_a_wide_interval_stays_pale(facts: Facts) -> None:
    found = with_gains(facts, (0.1, 0.05, 0.15, "helps"), (0.1, -0.3, 0.5, "inconclusive"))
    [drawn] = heat_maps(found)
    assert (drawn.model, drawn.arms, drawn.reach) == ("lenet", ["more"], "50")
    sure, unsure = (cells[0] for _, _, cells in drawn.rows)
    assert sure.shade == 1.0
    assert unsure.shade == 0.25, "a quarter of its interval's half-width"
    assert (sure.dot, sure.left, sure.width) == pytest.approx((60, 55, 10)), "a cell reaches from -50 to 50 points"
    assert "+10.00 points, −30.00 to +50.00, 3 test images, inconclusive" in unsure.title


def test_a_class_without_an_interval_has_no_dot(facts: Facts) -> None:
    [drawn] = heat_maps(with_gains(facts, (0.1, np.nan, np.nan, ""), (-0.2, -0.3, -0.1, "hurts")))
    none, loss = (cells[0] for _, _, cells in drawn.rows)
    assert np.isnan(none.dot)
    assert "too few test images" in none.title
    assert loss.shade == -1.0


def test_the_confusions_that_change_most_come_first(facts: Facts) -> None:
    before, after = np.array([[4, 2], [0, 6]]), np.array([[5, 1], [3, 3]])
    counts = {"lenet-real": before, "lenet-more": after}
    found = replace(facts, results=tuple(replace(r, confusion=counts.get(r.name, before)) for r in facts.results))
    a, b = facts.classes
    assert matrices.most_changed(found).rows == [
        ["lenet-more", b, a, "0.0", "50.0", "+50.00"],
        ["lenet-more", a, b, "33.3", "16.7", "−16.67"],
    ]
    assert len(matrices.most_changed(found, most=1).rows) == 1

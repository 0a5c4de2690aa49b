"""The chart of a pull request, read back from its PNG."""

import io

import numpy as np
import pytest
from PIL import Image

from touchstone.studies.revision_chart import chart
from touchstone.studies.revisions import Change, RevisionComparison

VERDICTS = ("better", "inconclusive", "worse", "too few replicates")


def comparison(*verdicts: str, before: str = "old") -> RevisionComparison:
    changes = [
        Change(f"resnet18_tuned-run{i}_of_some", metric, 0.5, 0.5 + value, value - 0.01, value + 0.01, 0.5, verdict)
        for i, verdict in enumerate(verdicts)
        for value in [{"better": 0.05, "worse": -0.05}.get(verdict, 0.0)]
        for metric in ("accuracy", "nll")
    ]
    return RevisionComparison(before, "new", 0.95, changes, [], [])


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def near(image: np.ndarray, colour: str) -> np.ndarray:
    """Mark the pixels that have about this colour."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return np.abs(image - wanted).max(2) < 24


def test_better_is_drawn_right_of_zero_and_worse_left_of_it() -> None:
    image = pixels(chart(comparison("better", "worse")))
    assert (image[0] == 255).all(), "on white"
    inside = image[:, int(0.35 * image.shape[1]) : int(0.59 * image.shape[1])]  # the axis, without the words
    better, worse = (np.nonzero(near(inside, colour))[1].mean() for colour in ("#1f5fa8", "#b3480a"))
    assert worse < inside.shape[1] / 2 < better


def test_the_chart_is_small_and_grows_with_its_rows_up_to_a_limit() -> None:
    sizes = [chart(comparison(*(VERDICTS * n))) for n in (1, 4, 20)]
    heights = [pixels(png).shape[0] for png in sizes]
    assert heights[0] < heights[1] == heights[2]
    assert {pixels(png).shape[1] for png in sizes} == {1280}
    assert max(map(len, sizes)) < 60_000


def test_of_many_runs_those_with_a_verdict_are_shown() -> None:
    image = pixels(chart(comparison(*["inconclusive"] * 40, "worse")))
    assert near(image, "#b3480a").any()


def test_where_nothing_changed_the_chart_is_a_line() -> None:
    png = chart(RevisionComparison("old", "new", 0.95, [], ["one"], []))
    assert pixels(png).shape[0] < 150
    assert (pixels(png) < 128).any(), "it says so"


@pytest.mark.parametrize("name", ["price_$5_and_$6", "fix/$x^{", "<b>"])
def test_names_are_no_formulas(name: str) -> None:
    assert chart(comparison("better", before=name)) != chart(comparison("better", before="old"))


def test_equal_comparisons_give_equal_bytes() -> None:
    assert chart(comparison(*VERDICTS)) == chart(comparison(*VERDICTS))

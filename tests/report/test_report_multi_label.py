"""Both products where images may have several labels."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kit.report import CLASSES
from touchstone.report import multi_label, pages, tables
from touchstone.report.facts import Facts, MultiLabelResult, ReportedResult
from touchstone.report.galleries import LabelledImages, ranked


@pytest.fixture(scope="module")
def labelled(facts: Facts) -> Facts:
    """The facts with scores of labels in place of confusions: all test images have class 1, three also class 0."""
    return replace(
        facts,
        results=tuple(_with_labels(result) for result in facts.results),
        co_occurrence=multi_label.co_occurrence(np.array([[1, 0], [1, 1], [np.nan, 1]], np.float32)),
        findings=facts.findings | {f"num_without_label_{split}": 0 for split in ("train", "val", "test")},
    )


def _with_labels(result: ReportedResult) -> ReportedResult:
    keys = ("ap", "ap_voc", "tail_accuracy", "f1", "accuracy")
    classes = pd.DataFrame({key: [0.5, 0.75] for key in keys})
    classes = classes.assign(ap_constant=[0.5, 1], threshold=0.25, n_test=6, n_positive=[3, 0])
    curves = pd.DataFrame({"class": CLASSES[:1] * 2, "recall": ["0", "1"], "precision": ["1", "0.5"]})
    images = type("Images", (), {"images": np.zeros((6, 8, 8, 1), np.uint8), "table": pd.DataFrame({"id": range(6)})})
    labels = np.array([[1, 1]] * 3 + [[0, 1]] * 2 + [[np.nan, 1]], np.float32)
    probs = np.linspace(0, 1, 12).reshape(1, 6, 2)
    images_of = ranked(probs, LabelledImages(images, [f"f{i}" for i in range(6)], labels, CLASSES))
    scores = {"map": 0.625, "map_sd": 0.01, "map_low": 0.5, "map_high": 0.75, "accuracy": 0.9, "nll": 0.5, "ece": 0.1}
    return replace(
        result,
        scores=result.scores | scores,
        multi_label=MultiLabelResult(classes, curves, images_of),
        confusion=np.zeros((0, 0), np.int64),
        mistakes=(),
        class_gains=None,
    )


def test_images_are_ranked_at_both_ends_and_labels_that_do_not_count_are_left_out(labelled: Facts) -> None:
    [first, second] = labelled.result("lenet-real").multi_label.ranked
    assert [image.row for image in first.top] == [4, 3, 2, 1, 0]
    assert [image.row for image in second.bottom] == [0, 1, 2, 3, 4]
    assert [image.has_class for image in first.top] == [False, False, True, True, True]
    assert multi_label.summary(labelled.result("lenet-real")) == (
        "8 of 10 at the top have their class, 2 of 10 at the bottom lack it"
    )


def test_classes_are_counted_together(labelled: Facts) -> None:
    assert multi_label.together(labelled).rows == [[CLASSES[0], "2", "1"], [CLASSES[1], "1", "2"]]


def test_scores_and_means_of_classes(labelled: Facts) -> None:
    table = multi_label.class_scores(labelled, "ap")
    assert table.header == ["class", "test images", "with it", "constant %", "lenet-real", "lenet-more", "both"]
    assert table.rows[0] == [CLASSES[0], "6", "3", "50.0", *["50.0"] * 3]
    assert table.rows[-1] == ["mean", "", "", "–", *["62.5"] * 3]
    assert "constant %" not in multi_label.class_scores(labelled, "f1").header
    scores = tables.scores(labelled)
    assert dict(zip(scores.header, scores.rows[0], strict=True))["its interval"] == "50.00 to 75.00"


def test_classes_with_few_test_images_are_pointed_out(labelled: Facts) -> None:
    assert multi_label.warnings(labelled) == [
        f"{CLASSES[0]}: only 3 of 6 test images have it; its average precision depends on these few, and a constant "
        "prediction reaches 50.0 %.",
        f"{CLASSES[1]}: no test image has it, so it has no average precision and counts in no mean.",
    ]


def test_both_products_show_labels_in_place_of_confusions(labelled: Facts) -> None:
    page, twin = pages.html(labelled), pages.markdown(labelled)
    for section in ("together", "classes", "galleries"):
        assert f'<section id="{section}"' in page
    assert '<section id="confusion"' not in page
    assert page.count('class="misplaced"') == 3 * 2 + 3 * 8, "at the top without the class, at the bottom with it"
    assert "it may move a probability across a threshold" in page
    assert "percentage points of mean average precision on the test images" in twin
    assert "<!-- ap:start -->\n| class | test images | with it | constant % | lenet-real |" in twin
    assert "| images without a label | 0 | 0 | 0 |" in twin
    assert "| lenet-real | straße_é | f5 1.000 (has it) | f0 0.091 (has it) |" in twin

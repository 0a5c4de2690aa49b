"""Tables of both products, and charts and matrices of the page."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd

from kit.report import CLASSES, facts_of, workspace
from touchstone.report import attributed, charts, matrices, pages, tables, words
from touchstone.report.facts import Facts
from touchstone.report.table import grid


def test_markdown_tables_are_well_formed(twin: str) -> None:
    blocks = re.findall(r"(?:^\|.*\n)+", twin, re.MULTILINE)
    assert len(blocks) == 16
    for block in blocks:
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block
        assert set(block.splitlines()[1]) <= set("|:- ")
    assert not re.search(r"\n\n\n", twin)


def test_results_stand_between_their_marks(facts: Facts, twin: str) -> None:
    inner = twin.split("<!-- results:start -->\n")[1].split("<!-- results:end -->")[0]
    assert inner == f"{grid(tables.accuracies(facts))}\n\n{grid(tables.scores(facts))}\n"
    assert "| lenet | 33.33 ± 0.00 | 83.33 ± 0.00 |" in inner


def test_class_accuracies_are_the_diagonal(root: Path, facts: Facts) -> None:
    table = tables.class_accuracies(facts)
    for column, result in enumerate(facts.results, 2):
        diagonal = result.confusion.diagonal() / result.confusion.sum(1)
        assert [row[column] for row in table.rows] == [words.percent(share) for share in diagonal]
        evaluated = pd.read_csv(root / f"data/plots/classes/{result.name}.csv")["accuracy"]
        np.testing.assert_allclose(diagonal, evaluated, atol=1e-5)
        assert result.confusion.sum() == 2 * 6  # both seeds


def test_arms_are_counted(facts: Facts) -> None:
    assert [row[2:] for row in tables.arms(facts).rows] == [["8", "0", "8", "baseline"], ["8", "8", "16", ""]]
    assert tables.class_counts(facts).rows == [
        [CLASSES[0], "4", "2", "3"],
        [CLASSES[1], "4", "2", "3"],
        ["all", "8", "4", "6"],
    ]


def test_attribution_methods_are_listed_with_their_errors_and_their_check(facts: Facts, twin: str) -> None:
    assert attributed.checks(facts).rows == [
        ["lenet-real", "saliency", "–", "–", "0.10", "0.70"],
        ["lenet-real", "integrated gradients", "0.001", "0.001", "–", "0.80"],
    ]
    assert "| lenet-real | saliency | – | – | 0.10 | 0.70 |" in twin


def test_losses_of_generators_are_drawn(facts: Facts) -> None:
    assert [chart.title for chart in charts.losses(facts.losses["gan"])] == ["Loss", "Diversity of samples"]
    assert [name for name, *_ in charts.losses(facts.losses["gan"])[0].lines] == ["loss", "discriminator loss"]


def test_learning_curves_are_titled_after_their_columns(facts: Facts) -> None:
    titles = [chart.title.removesuffix(", log scale") for chart in charts.curves(facts, "lenet")]
    assert sorted(titles) == ["Learning rate", "Training loss", "Validation accuracy", "Validation loss"]


def test_accuracy_has_no_log_scale_and_a_loss_that_spans_decades_has_one() -> None:
    series = {"real": np.array([[0.0, 0.01], [10.0, 0.9]])}
    assert charts.chart("Validation accuracy", series).title == "Validation accuracy"
    loss = charts.chart("Training loss", series)
    assert loss.title == "Training loss, log scale"
    assert [text for _, text in loss.y_ticks] == ["0.01", "0.1"]


def test_a_learning_rate_that_was_found_is_drawn(tmp_path: Path, page: str) -> None:
    found = facts_of(workspace(tmp_path, lr="auto"))
    text = pages.html(found)
    assert "Learning-rate finder" in text
    assert "Learning-rate finder" not in page
    assert "auto: 0.003" in text
    assert "auto: 0.003" in pages.markdown(found)
    [chart] = charts.rates(found).values()
    assert [text for _, text in chart.x_ticks] == ["1e-4", "1e-3", "1e-2"]
    assert [round(x) for x, _ in chart.x_ticks] == [0, 150, 300]


def test_many_classes_make_a_shaded_matrix_without_numbers(facts: Facts) -> None:
    result = facts.results[0]
    assert len(matrices.cells(result, CLASSES)) == np.count_nonzero(result.confusion)
    assert matrices.cells(result, [str(i) for i in range(100)]) == []


def test_the_difference_of_two_matrices_is_in_points_of_the_rows(facts: Facts) -> None:
    more, real = facts.result("lenet-more"), facts.result("lenet-real")
    found = matrices.difference(more, real, CLASSES)
    rows = [more.confusion[i] / more.confusion[i].sum() - real.confusion[i] / real.confusion[i].sum() for i in (0, 1)]
    assert found.title == "lenet-more minus lenet-real"
    assert {(cell.row, cell.column): cell.text for cell in found.cells} == {
        (i, j): f"{100 * rows[i][j]:+.0f}".replace("-", "−") for i in (0, 1) for j in (0, 1) if rows[i][j]
    }
    assert matrices.difference(real, real, CLASSES).cells == []
    assert "none" in matrices.difference(real, real, CLASSES).note
    header, *lines = list(csv.reader(io.StringIO(found.csv)))
    assert header[1:] == CLASSES
    np.testing.assert_allclose([[float(cell) for cell in line[1:]] for line in lines], rows, atol=1e-5)

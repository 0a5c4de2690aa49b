"""README and docs quote the kept reports as they are, and refer only to what exists."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kit.project import ROOT
from touchstone.studies.made_by import State, present, record
from touchstone.studies.quotes import QUOTE, pages, quoted, resplit, swept, update

PAGES = [ROOT / "CONTRIBUTING.md", *pages(ROOT)]
UNRECORDED = f"\n*{State.UNRECORDED.mark}*\n"


def test_a_quotation_is_filled_and_filled_again(tmp_path: Path) -> None:
    report = tmp_path / "recipes/x/report.md"
    report.parent.mkdir(parents=True)
    (tmp_path / "README.md").touch()
    page = tmp_path / "docs/studies/x.md"
    page.parent.mkdir(parents=True)
    page.write_text("a\n<!-- results from recipes/x/report.md -->\nold\n<!-- end -->\nb\n")
    assert update(tmp_path) == []
    for rows in ("| 1 |\n", "| 2 |\n| 3 |\n"):
        report.write_text(
            f"x\n<!-- results:start -->\n{rows}<!-- results:end -->\n<!-- audit:start -->\nn\n<!-- audit:end -->\n"
        )
        assert update(tmp_path) == [page]
        assert page.read_text() == f"a\n<!-- results from recipes/x/report.md -->\n{rows}{UNRECORDED}<!-- end -->\nb\n"
    assert update(tmp_path) == []


def test_a_note_stands_below_older_figures_and_below_no_others(tmp_path: Path) -> None:
    folder = tmp_path / "recipes/x"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "recipes/digits/params.yaml", folder)
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    (folder / "report.md").write_text("<!-- results:start -->\n| 1 |\n<!-- results:end -->\n")
    opening, closing = "<!-- results from recipes/x/report.md -->\n", "<!-- end -->\n"
    plain, marked = f"{opening}| 1 |\n{closing}", f"{opening}| 1 |\n{UNRECORDED}{closing}"
    assert quoted(plain, tmp_path) == quoted(marked, tmp_path) == marked
    made_by = present(folder, "study", tmp_path)
    record(folder, "study", made_by)
    assert quoted(plain, tmp_path) == quoted(marked, tmp_path) == plain
    record(folder, "study", replace(made_by, code="another"))
    assert quoted(plain, tmp_path) == marked.replace(State.UNRECORDED.mark, State.EARLIER.mark)


def test_pictures_are_quoted_with_their_captions_and_links_from_the_page(tmp_path: Path) -> None:
    (tmp_path / "recipes/x/figures").mkdir(parents=True)
    (tmp_path / "recipes/x/figures/README.md").write_text(
        "# x: figures\n\n![](a.png)\n\nOf a.\n\n![](b.png)\n\nOf b.\n"
    )
    opening, closing = "<!-- figures from recipes/x/figures/README.md -->\n", "<!-- end -->\n"
    for page, place in (("README.md", "recipes"), ("docs/studies/x.md", "../../recipes")):
        pictures = f"![]({place}/x/figures/a.png)\n\nOf a.\n\n![]({place}/x/figures/b.png)\n\nOf b.\n"
        assert quoted(opening + closing, tmp_path, page=tmp_path / page) == opening + pictures + UNRECORDED + closing


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_quotation_matches_its_source_and_says_where_its_figures_are_older(page: Path) -> None:
    text = page.read_text()
    assert quoted(text, ROOT, page=page) == text, "run `touchstone studies --fill`"
    for _, _, source, _ in QUOTE.findall(text):
        assert (ROOT / source).exists()


def test_the_default_and_a_study_of_photographs_are_quoted_where_people_look() -> None:
    for page, name in (("README.md", "scenes8_lite"), ("docs/default.md", "digits")):
        quotes = QUOTE.findall((ROOT / page).read_text())
        assert [(kind, source) for _, kind, source, _ in quotes] == [("results", f"recipes/{name}/report.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_and_make_targets_exist(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = re.findall(r"`make ([a-z -]+)", text) + re.findall(r"^make ([a-z -]+?)(?: [A-Z]|  |$)", text, re.M)
    assert {word for words in named for word in words.split()} <= targets


def test_the_site_lists_every_page_and_the_studies_every_study() -> None:
    site, index = (ROOT / "mkdocs.yml").read_text(), (ROOT / "docs/studies/README.md").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert f" {page.relative_to(ROOT).as_posix()}\n" in site
        assert page.parent.name != "studies" or page.name == "README.md" or f"]({page.name})" in index


def test_a_sweep_has_a_row_for_its_values_and_a_column_for_each_run(tmp_path: Path) -> None:
    source = tmp_path / "experiments.csv"
    source.write_text(
        "experiment,train.batch_size,run,accuracy,accuracy_sd,verdict,diverged\n"
        "n1,16,a,0.5,0.0,,\nn1,16,b,0.25,0.01,helps,\nn2,128,a,0.75,0.0,,1 of 1 seed\nn2,128,b,1.0,0.0,,\n"
    )
    assert swept(source).splitlines() == [
        "| batch_size | a | b |",
        "| ---: | ---: | ---: |",
        "| 16 | 50.00 | 25.00 ± 1.00 |",
        "| 128 | 75.00, diverged | 100.00 |",
    ]


def test_gains_are_summarised_over_the_splits(tmp_path: Path) -> None:
    (tmp_path / "experiments.csv").write_text(
        "experiment,data.split_seed,run,accuracy,accuracy_sd,gain,gain_low,gain_high,verdict,diverged\n"
        "n1,0,a-real,0.9,0.01,,,,,\nn1,0,a-more,0.92,0.01,0.02,0.01,0.03,helps,\n"
        "n2,1,a-real,0.9,0.01,,,,,\nn2,1,a-more,0.91,0.01,0.01,-0.01,0.03,inconclusive,\n"
    )
    table = resplit(tmp_path / "experiments.csv").splitlines()
    assert len(table) == 3
    assert table[2] == "| a-more | 2 | 1.50 | 0.71 | 1.00 | 2.00 | 1.50 | 1 helps, 1 inconclusive |"

"""README and docs say what the kept reports say, and name what exists."""

import re
from pathlib import Path

import pytest

from conftest import ROOT
from touchstone.quotes import QUOTE, quoted, update

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_a_quotation_is_filled_and_filled_again(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    report = tmp_path / "recipes/x/report.md"
    report.parent.mkdir(parents=True)
    page = tmp_path / "README.md"
    page.write_text("a\n<!-- results from recipes/x/report.md -->\nold\n<!-- end -->\nb\n")
    assert update(tmp_path) == []
    for rows in ("| 1 |\n", "| 2 |\n| 3 |\n"):
        report.write_text(
            f"x\n<!-- results:start -->\n{rows}<!-- results:end -->\n<!-- audit:start -->\nn\n<!-- audit:end -->\n"
        )
        assert update(tmp_path) == [page]
        assert page.read_text() == f"a\n<!-- results from recipes/x/report.md -->\n{rows}<!-- end -->\nb\n"
    assert update(tmp_path) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_quotation_is_that_of_its_report(page: Path) -> None:
    text = page.read_text()
    assert quoted(text, ROOT) == text, "run `make study NAME=...`, which updates it"
    for _, _, source, _ in QUOTE.findall(text):
        assert (ROOT / source).is_file()


def test_the_readme_opens_with_the_default_and_its_table() -> None:
    quotes = QUOTE.findall((ROOT / "README.md").read_text())
    assert [(kind, source) for _, kind, source, _ in quotes] == [("results", "recipes/digits/report.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_and_make_targets_exist(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = re.findall(r"`make ([a-z -]+)", text) + re.findall(r"^make ([a-z -]+?)(?: [A-Z]|  |$)", text, re.M)
    assert {word for words in named for word in words.split()} <= targets

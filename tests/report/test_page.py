"""The report in a real browser: no request to a server, nothing wider than the window, keyboard, axe-core."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.browser import WIDTHS, faults, launched, needs_chromium, opened, unfit
from kit.report import facts_of, workspace
from touchstone.report import pages, runtime

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    root = workspace(tmp_path_factory.mktemp("page"))
    file = root / "metrics/report.html"
    pages.write(file, pages.html(facts_of(root)))
    pages.write(root / "metrics/runtime.html", runtime.render(root / "metrics/runtime"))
    return file


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_asks_nothing_and_shows_every_picture(browser, page_file: Path, width: str) -> None:
    page, heard = opened(browser, page_file, width=width)
    assert heard == []
    assert page.locator("svg image").count() > 4
    assert unfit(page) == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_no_fault_that_is_more_than_minor(browser, page_file: Path, width: str, scheme: str) -> None:
    for file in (page_file, page_file.with_name("runtime.html")):
        page, _ = opened(browser, file, width=width, scheme=scheme)
        assert faults(page) == []
        page.close()


def test_a_picture_enlarges_and_closes_by_keyboard_alone(browser, page_file: Path) -> None:
    page, _ = opened(browser, page_file)
    button = page.locator("#worst .enlarge").first
    button.focus()
    page.keyboard.press("Enter")
    large = page.locator(":popover-open")
    assert large.count() == 1
    assert "predicted" in large.inner_text()
    assert large.locator("svg").count() == 2, "the test image and the training image nearest to it"
    page.keyboard.press("Escape")
    assert page.locator(":popover-open").count() == 0
    page.close()


def test_on_a_phone_pictures_grow(browser, page_file: Path) -> None:
    page, _ = opened(browser, page_file, width="phone")
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    for section in ("audit", "attributions", "worst"):
        button = page.locator(f"#{section} .enlarge").first
        before = button.locator("svg").bounding_box()["width"]
        button.click()
        after = page.locator(":popover-open svg").first.bounding_box()["width"]
        assert after > before, section
        page.keyboard.press("Escape")
    page.close()


def test_a_figures_data_is_downloaded_from_the_page_itself(browser, page_file: Path) -> None:
    page, heard = opened(browser, page_file)
    with page.expect_download() as found:
        page.locator("#curves a.csv").first.click()
    text = Path(found.value.path()).read_text()
    assert text.splitlines()[0] == "line,step,training loss"
    assert found.value.suggested_filename == "lenet training loss, log scale.csv"
    assert heard == []
    page.close()


def test_a_table_sorts_by_any_column_and_back(browser, page_file: Path) -> None:
    page, heard = opened(browser, page_file)
    table = page.locator("#results table:not(.forest)", has_text="macro F1").first
    heading = table.locator("th", has_text="accuracy").first

    def column() -> list[float]:
        index = heading.evaluate("each => each.cellIndex")
        return [float(row.locator("th, td").nth(index).inner_text()) for row in table.locator("tbody tr").all()]

    before = column()
    heading.locator("button").focus()
    page.keyboard.press("Enter")
    assert column() == sorted(before)
    assert heading.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert column() == sorted(before, reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    assert heard == []
    page.close()


def test_images_are_found_by_file_name_and_class(browser, page_file: Path) -> None:
    page, _ = opened(browser, page_file)
    figures, field = page.locator("#worst .worst > figure"), page.locator("#worst input[type=search]")
    name = figures.first.locator(".file").inner_text()
    field.fill(name)
    assert {each.locator(".file").inner_text() for each in figures.all() if each.is_visible()} == {name}
    field.fill("no such file")
    assert not [each for each in figures.all() if each.is_visible()]
    assert page.locator("#worst output").inner_text() == f"0 of {figures.count()}"
    field.fill("")
    assert page.locator("#worst figure[hidden]").count() == 0
    page.close()


def test_the_arrow_keys_walk_through_a_gallery(browser, page_file: Path) -> None:
    page, _ = opened(browser, page_file)
    page.locator("#worst .enlarge").first.press("Enter")
    texts = [page.locator(":popover-open p").inner_text()]
    page.keyboard.press("ArrowRight")
    texts.append(page.locator(":popover-open p").inner_text())
    page.keyboard.press("ArrowLeft")
    texts.append(page.locator(":popover-open p").inner_text())
    assert texts[0] == texts[2] != texts[1]
    page.keyboard.press("ArrowLeft")
    assert page.locator(":popover-open p").inner_text() == texts[0], "the first has none before it"
    page.close()


def test_a_gain_leads_to_the_images_behind_it(browser, page_file: Path) -> None:
    page, heard = opened(browser, page_file)
    page.evaluate("document.querySelectorAll('#changed details').forEach(each => each.open = false)")
    page.locator(".forest .gain a").last.click()
    page.wait_for_function("document.querySelector('#changed details[open]')")
    assert page.locator("#changed figure").first.count() == 1
    assert heard == []
    page.close()


def test_without_script_every_word_is_there(browser, page_file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    plain = page.locator("main").inner_text()
    context.close()
    with_script, _ = opened(browser, page_file)
    shown = with_script.locator("main").inner_text()
    assert {word for word in plain.split() if word.isalpha()} <= set(shown.split())
    with_script.close()

"""A page template for DVC's plots that needs no network."""

import shutil
from pathlib import Path

import pytest

from kit.project import ROOT, run
from touchstone.errors import TouchstoneError
from touchstone.studies.offline_plots import offline_plots

STAGE = """
stages:
  draw:
    cmd: python -c "open('a.csv', 'w').write('run,gain,gain_low,gain_high,verdict\\\\na,1,0,2,helps\\\\n')"
    plots:
    - a.csv:
        template: gains
        x: gain
        y: run
        title: Gains
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    for command in (("git", "init", "-q"), ("dvc", "init", "-q")):
        run(*command, cwd=tmp_path)
    shutil.copytree(ROOT / ".dvc/plots", tmp_path / ".dvc/plots", dirs_exist_ok=True)
    (tmp_path / "dvc.yaml").write_text(STAGE)
    run("dvc", "repro", "-q", cwd=tmp_path)
    return tmp_path


def test_the_page_holds_vega_and_names_no_server_that_it_loads_from(space: Path) -> None:
    pytest.importorskip("vl_convert", reason="no vl-convert-python: make setup")
    offline_plots(space)
    run("dvc", "plots", "show", "-o", "drawn", cwd=space)
    page = (space / "drawn/index.html").read_text()
    assert "<script src" not in page
    assert "vegaEmbed" in page
    assert '"gain_low"' in page, "the template draws intervals"
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: make setup")
    chromium = shutil.which("chromium") or pytest.skip("no Chromium on this machine: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        drawn = browser.new_page()
        errors: list[str] = []
        drawn.on("pageerror", lambda error: errors.append(str(error)))
        drawn.on("request", lambda asked: errors.append(asked.url) if asked.url.startswith("http") else None)
        drawn.goto((space / "drawn/index.html").as_uri())
        drawn.wait_for_selector(".marks", timeout=60_000)
        assert errors == []
        browser.close()


def test_without_the_package_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "vl_convert", None)
    with pytest.raises(TouchstoneError, match=r"pip install 'touchstone\[plots\]'"):
        offline_plots(tmp_path)


def test_outside_of_a_project_it_is_one_line(tmp_path: Path) -> None:
    done = run("touchstone", "offline-plots", cwd=tmp_path, check=False)
    assert done.stderr == "error: there is no .dvc here; run from the folder that holds dvc.yaml\n"

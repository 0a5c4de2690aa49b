"""A page template for DVC's plots that needs no network."""

import shutil
import subprocess
from pathlib import Path

import pytest

from kit.project import run
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
ROOT = Path(__file__).resolve().parents[2]


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
    chromium = shutil.which("chromium")
    if chromium:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        flags += ["--virtual-time-budget=10000", "--dump-dom"]
        file = (space / "drawn/index.html").as_uri()
        dom = subprocess.run([chromium, *flags, file], capture_output=True, text=True, timeout=120).stdout
        assert "<canvas" in dom.split("</script>")[-1], "Vega has drawn it"


def test_without_the_package_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "vl_convert", None)
    with pytest.raises(TouchstoneError, match=r"pip install 'touchstone\[plots\]'"):
        offline_plots(tmp_path)

"""Pages in a real browser: what they ask for and say, and what axe-core finds."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine: apt-get install chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WIDTHS = {"phone": (390, 844), "desktop": (1280, 900)}


@contextmanager
def launched() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: make setup")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def opened(browser: Any, file: Path, *, width: str = "desktop", scheme: str = "light") -> tuple[Any, list[str]]:
    """The page, and its messages, errors and requests."""
    wide, high = WIDTHS[width]
    page = browser.new_page(viewport={"width": wide, "height": high}, color_scheme=scheme)
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda asked: heard.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None)
    page.on("requestfailed", lambda asked: heard.append(f"failed: {asked.url[:80]}"))
    page.goto(file.as_uri())
    return page, heard


def faults(page: Any) -> list[str]:
    """Return what axe-core finds in the page with all its parts unfolded, without what is minor."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-playwright-python: make setup")
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    found = axe.Axe().run(page).response
    assert found["passes"]
    return [
        f"{v['id']} ({v['impact']}): {v['help']}: {v['nodes'][0]['html'][:200]}"
        for v in found["violations"]
        if v["impact"] != "minor"
    ]


def unfit(page: Any) -> list[str]:
    """Pictures that cannot be decoded or are not there, and whether the page is wider than its window."""
    return page.evaluate(
        """async () => {
            const pictures = [...document.querySelectorAll('svg image')];
            const broken = await Promise.all(pictures.map(async (each) => {
                const image = new Image();
                image.src = each.getAttribute('href');
                return image.decode().then(() => '', () => `broken: ${each.id}`);
            }));
            const lost = [...document.querySelectorAll('use')].map((each) => each.getAttribute('href'))
                .filter((id) => !document.querySelector(id)).map((id) => `lost: ${id}`);
            const wide = document.documentElement.scrollWidth > innerWidth ? ['wider than the window'] : [];
            return [...broken.filter(Boolean), ...lost, ...wide];
        }"""
    )

"""Pages of the built site fit a window of 1,300 pixels: no code, formula or table scrolls sideways.

Needs Chromium, the extra ``browser``, and the site that ``make docs`` builds.
"""

import shutil
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SITE = Path(__file__).parents[1] / "docs" / "_build" / "html"
PAGES = sorted(path for path in SITE.rglob("*.html") if "_static" not in path.parts)
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.global_rng,  # playwright draws from it
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
    pytest.mark.skipif(not PAGES, reason="needs the site: make docs"),
]

# Boxes whose content is wider than they are, and pictures that are cut or missing.
MISFITS = """() => {
    const boxes = document.querySelectorAll('article :is(pre, div.math, .table-wrapper)');
    const wide = [...boxes]
        .filter(box => box.scrollWidth > box.clientWidth + 1)
        .map(box => `${box.tagName} of ${box.scrollWidth} in ${box.clientWidth}: `
            + box.textContent.trim().replace(/\\s+/g, ' ').slice(0, 80));
    const right = document.querySelector('article').getBoundingClientRect().right;
    const pictures = [...document.querySelectorAll('article img')]
        .filter(img => img.naturalWidth === 0 || img.getBoundingClientRect().right > right + 1)
        .map(img => `IMG ${img.getAttribute('src')}`);
    const page = document.documentElement.scrollWidth;
    return [...wide, ...pictures, ...(page > window.innerWidth ? [`page of ${page}`] : [])];
}"""


def test_nothing_scrolls_sideways():
    found = {}
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        tab = browser.new_page(viewport={"width": 1300, "height": 900})
        for path in PAGES:
            tab.goto(path.as_uri())
            if misfits := tab.evaluate(MISFITS):
                found[str(path.relative_to(SITE))] = misfits
        browser.close()
    assert found == {}

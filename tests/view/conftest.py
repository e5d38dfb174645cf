"""A browser without a window, and pages in it that must not complain."""

import os
from types import SimpleNamespace
from urllib.parse import urlparse

import pytest

from clew.view import browser
from view.pages import READY, WINDOW

PATIENCE = 180_000
"""Milliseconds for what a page of a busy machine does; on an idle one all of it takes seconds."""


@pytest.fixture(scope="session")
def playwright():
    """Chromium and what drives it; without them the tests are skipped, but fail under CI."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if sync_playwright is None or browser.find_browser() is None:
        lacking = "playwright" if sync_playwright is None else "Chromium (apt install chromium)"
        (pytest.fail if os.environ.keys() & {"CI", "BROWSER_REQUIRED"} else pytest.skip)(
            f"{lacking} is not here: the viewer is not seen in a browser"
        )
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser.find_browser(), args=browser.browser_options())
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(playwright):
    """Opens addresses; at the end, no page may have complained (but for what is expected) or asked anybody else."""
    pages = []

    def opened(address, window=WINDOW, expected="nothing"):
        page = playwright.new_page(viewport=window)
        page.set_default_timeout(PATIENCE)
        seen = SimpleNamespace(page=page, errors=[], requests=[], host=urlparse(address).netloc)
        page.on(
            "console",
            lambda said: seen.errors.append(said.text) if said.type == "error" and expected not in said.text else None,
        )
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("request", lambda request: seen.requests.append(request.url))
        pages.append(seen)
        page.goto(address)
        page.wait_for_function("() => viewer.layerManager.managedLayers.length > 0")
        page.evaluate(READY)
        return page

    yield opened
    for seen in pages:
        assert not seen.errors
        assert not seen.page.evaluate("() => document.querySelector('#neuroglancer-status-container')?.innerText")
        hosts = {urlparse(url).netloc for url in seen.requests if not url.startswith(("data:", "blob:"))}
        assert hosts == {seen.host}, "no request leaves the machine"
        seen.page.close()

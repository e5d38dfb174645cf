"""Pictures of the viewer, by a Chromium without a window."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from clew.errors import InputError

if TYPE_CHECKING:
    from neuroglancer import UnsynchronizedViewer

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
           "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip
"""WebGL in software, so that no screen is needed, and no request to anybody."""
PICTURE = (1600, 1000)
"""Pixels of a picture, wide and high."""
BESIDE = ("selectedLayer", "toolPalettes")
"""Parts of a state that take room beside the panels, where a picture would be empty."""
PATIENCE, GLANCE = 120.0, 0.5
"""Seconds without a request after which no picture is waited for, and between two looks."""


def find_browser() -> str | None:
    """Where a Chromium is installed."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


def needed_browser() -> str:
    """Where a Chromium is installed; an InputError where none is."""
    browser = find_browser()
    if browser is None:
        raise InputError("a screenshot needs Chromium, which is not here: install it (Debian, Ubuntu: apt install chromium), or "
                         "leave out --screenshot and use the camera button of the page")  # fmt: skip
    return browser


def browser_options() -> list[str]:
    """Options of a Chromium that draws without a screen; root has no sandbox."""
    return [*OPTIONS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]


def screenshot(viewer: "UnsynchronizedViewer", address: str, state: str) -> bytes:
    """A picture of the viewer as PNG, taken when all that is seen has been drawn.

    It takes as long as it takes, while the page asks for something.

    Parameters
    ----------
    viewer : neuroglancer.UnsynchronizedViewer
    address : str
        Of its page.
    state : str
        JSON of what is to be seen.

    Raises
    ------
    InputError
        Where there is no Chromium, it ends, or it asks for nothing in two minutes and has drawn nothing.
    """
    browser = needed_browser()
    drawn = threading.Event()
    found: list[bytes] = []

    def take(answer: Any) -> None:
        found.append(answer.screenshot.image)
        drawn.set()

    with viewer.config_state.txn() as config:
        config.show_ui_controls, config.viewer_size = False, list(PICTURE)
    viewer.async_screenshot(take)
    seen = {name: value for name, value in json.loads(state).items() if name not in BESIDE}
    page = f"{address}#!{quote(json.dumps(seen, separators=(',', ':')))}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [browser, "--headless", *browser_options(), f"--user-data-dir={folder}", "--remote-debugging-port=0",
                   "--window-size={},{}".format(*PICTURE), page]  # fmt: skip
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            wait_for(drawn, process, viewer.clew.quiet)
        finally:
            with suppress(ProcessLookupError):  # it may have ended
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if not found:
        ended = "ended" if process.returncode != -signal.SIGKILL else f"has asked for nothing in {PATIENCE:.0f} s"
        raise InputError(f"{browser} {ended} before all was drawn: open the page itself, without --screenshot")
    return bytes(found[0])


def wait_for(drawn: threading.Event, process: subprocess.Popen, quiet: Callable[[], float]) -> None:
    """Wait until all is drawn, or the browser has ended or is quiet for too long."""
    while not drawn.wait(GLANCE) and process.poll() is None and quiet() < PATIENCE:
        pass

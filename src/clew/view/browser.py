"""Pictures of the viewer, by a Chromium without a window."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
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
PATIENCE = 180.0
"""Seconds until a picture must be there."""


def find_browser() -> str | None:
    """Where a Chromium is installed."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


def browser_options() -> list[str]:
    """Options of a Chromium that draws without a screen; root has no sandbox."""
    return [*OPTIONS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]


def screenshot(viewer: "UnsynchronizedViewer", address: str, state: str) -> bytes:
    """A picture of the viewer as PNG, taken when all that is seen has been drawn.

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
        Where there is no Chromium, or it draws nothing in three minutes.
    """
    browser = find_browser()
    if browser is None:
        raise InputError("a screenshot needs Chromium, which is not here: install it (Debian, Ubuntu: apt install chromium), or "
                         "leave out --screenshot and use the camera button of the page")  # fmt: skip
    drawn = threading.Event()
    found: list[bytes] = []

    def take(answer: Any) -> None:
        found.append(answer.screenshot.image)
        drawn.set()

    with viewer.config_state.txn() as config:
        config.show_ui_controls, config.viewer_size = False, list(PICTURE)
    viewer.async_screenshot(take)
    page = f"{address}#!{quote(json.dumps(json.loads(state), separators=(',', ':')))}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [browser, "--headless", *browser_options(), f"--user-data-dir={folder}", "--remote-debugging-port=0",
                   "--window-size={},{}".format(*PICTURE), page]  # fmt: skip
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            drawn.wait(PATIENCE)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if not found:
        raise InputError(f"{browser} has drawn nothing in {PATIENCE:.0f} s: try the page itself, without --screenshot")
    return bytes(found[0])

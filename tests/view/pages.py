"""Pages of the viewer in a browser: when all is drawn, and what is seen."""

import io

import numpy as np
from PIL import Image

WINDOW = {"width": 700, "height": 500}
SECTION = (slice(60, 240), slice(20, 230))
"""Pixels (rows, columns) inside the panel of xy."""
READY = """async () => {
  const wait = (time) => new Promise((done) => setTimeout(done, time));
  for (let calm = 0; calm < 3; ) { await wait(100); calm = viewer.isReady() ? calm + 1 : 0; }
}"""


def picture(page, part=SECTION):
    """Pixels of a part of the page, when all is drawn."""
    page.evaluate(READY)
    return np.array(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)[part]


def differing(one, other):
    """Share of pixels that differ clearly."""
    return np.mean(np.abs(one - other).max(-1) > 16)

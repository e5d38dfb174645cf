"""`clew view --screenshot`: a picture without a window, or one clear line."""

import json
import threading

import numpy as np
import pytest
from PIL import Image

from clew.view import browser
from clew.view.server import Served
from clew.volumes.save import save_volume
from command_line import run

SIZE = (8, 8, 8)
PLACES = ([16, 16, 8], [16, 16, 48])
"""Voxels of two errors, in the bright half and in the dark one."""
PICTURE = (960, 600)
PANEL = (slice(0, 300), slice(0, 480))
"""Pixels of the panel of xy, in the middle of which the place is."""


@pytest.fixture
def volumes(tmp_path):
    """Raw of two halves, a segmentation of two segments, and errors in them."""
    raw = np.full((32, 32, 64), 60, np.uint8)
    raw[:, :, :32] = 180
    raw[::4, ::4, ::4] += 10  # something to see in each half
    save_volume(tmp_path / "raw.zarr", raw, voxel_size=SIZE)
    save_volume(tmp_path / "segmentation.zarr", 1 + (raw < 100).astype(np.uint64), voxel_size=SIZE)
    same = {"kind": "split", "bits": 0.1, "segments": [1, 2], "objects": [1]}
    errors = [
        same | {"rank": rank, "position_nm": [8.0 * each for each in place]} for rank, place in enumerate(PLACES, 1)
    ]
    (tmp_path / "errors.json").write_text(json.dumps({"errors": errors, "threshold": 0.5}))
    return tmp_path


def taken(folder, *options):
    """Pixels of a picture of the command."""
    picture = folder / "picture.png"
    assert run("view", folder / "raw.zarr", "--errors", folder / "errors.json", "--screenshot", picture, *options) == 0
    found = np.array(Image.open(picture).convert("RGB")).astype(int)
    assert found.shape[1::-1] == PICTURE
    return found


def brightness(picture):
    """Of the pixels around the middle of a panel, beside the mark and the lines through it."""
    panel = picture[PANEL]
    middle = panel.shape[0] // 2, panel.shape[1] // 2
    around = panel[middle[0] - 60 : middle[0] - 25, middle[1] - 60 : middle[1] - 25]
    return np.median(around)


def coloured(picture):
    """Share of the pixels of a panel that are not grey."""
    return np.mean(np.ptp(picture[PANEL], axis=-1) > 20)


def test_the_picture_shows_the_layers_at_the_place_of_an_error(playwright, volumes, monkeypatch):
    monkeypatch.setattr(browser, "PICTURE", PICTURE)
    plain = taken(volumes, "--error", 1)
    both = taken(volumes, "--error", 2, "--segmentation", volumes / "segmentation.zarr")
    assert len(np.unique(plain.reshape(-1, 3), axis=0)) > 50, "it is not blank"
    assert brightness(plain) > 150
    assert 20 < brightness(both) < 120, "the second error lies in the dark half"
    assert coloured(plain) < 0.05
    assert coloured(both) > 0.3, "segments have colours"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (None, "apt install chromium"),
        ("exit 3", "ended before all was drawn"),
        ("sleep 60", "asked for nothing in 1 s"),
    ],
)
def test_without_a_browser_that_draws_it_is_one_line(volumes, tmp_path, monkeypatch, capsys, program, message):
    import neuroglancer

    monkeypatch.setattr(browser, "PATIENCE", 1.0)
    monkeypatch.setattr(browser, "NAMES", (str(tmp_path / "chromium"),))
    if program is not None:
        (tmp_path / "chromium").write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / "chromium").chmod(0o755)
    assert run("view", volumes / "raw.zarr", "--screenshot", tmp_path / "picture.png") == 2
    neuroglancer.stop()
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "picture.png").exists()


def test_a_browser_is_not_quiet_while_an_answer_is_being_made():
    served = Served({}, {}, {}, print)
    served.heard -= 1000
    assert served.quiet() >= 1000
    with served.answering():
        assert served.quiet() == 0
    assert served.quiet() < 100


def test_a_picture_that_takes_long_is_waited_for(monkeypatch):
    monkeypatch.setattr(browser, "GLANCE", 0.01)
    drawn, asked = threading.Event(), []

    class Process:
        def poll(self):
            return None

    def quiet():
        asked.append(1)
        if len(asked) == 20:
            drawn.set()
        return 1.0

    browser.wait_for(drawn, Process(), quiet)
    assert drawn.is_set()

"""The report is one whole, self-contained page."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from clew.errors import InputError
from clew.view.figures import threshold_figure
from clew.view.report import (
    ErrorPlace,
    Input,
    Picture,
    Report,
    StageTime,
    Step,
    drawing,
    jpeg_of,
    png_of,
    refuse_other,
    render_report,
    write_report,
)

VOID = {"meta", "img", "br", "link"}


class Balance(HTMLParser):
    """Checks that every element is closed in order, and collects what the page would load."""

    def __init__(self):
        super().__init__()
        self.open, self.sources, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data.strip())


def parse(page):
    parser = Balance()
    parser.feed(page)
    assert not parser.open
    return parser


def whole_report(**changes):
    pixels = np.zeros((4, 5, 3), np.uint8)
    curve = drawing(threshold_figure([0.1, 0.2], [1, 0.5], [0, 0.1]))
    parts = {
        "title": "Demo <1>",
        "facts": {"shape": "10 × 10 × 10 voxels"},
        "warning": "A synthetic volume",
        "sections": [Picture("The image", jpeg_of(pixels))],
        "bodies": [Picture("17: 3 µm", png_of(pixels), "#d55e00")],
        "scores": [{"range": "all", "VOI split": 0.25, "VOI merge": 0.5}],
        "curves": [Picture("Thresholds & scores", curve)],
        "errors": [
            ErrorPlace("merge", [3, 2**63], [7], (1, 2, 3), 12345, 0.5, ["so thick"], None, "clew view --error 1")
        ],
        "viewer_command": "clew view raw.zarr",
        "stages": [StageTime("predict", 2.0, 5_000_000, 1_500_000_000), StageTime("nothing", 1.0)],
        "steps": [Step("agglomerate", {"score": "mean"})],
        "inputs": [Input("raw", "raw.zarr", "BLAKE2b 0a1b")],
        "provenance": {"clew": "0.1.0"},
        "notes": ["A note."],
        "missing": [("Scores:", "clew evaluate x y")],
    }
    return Report(**{**parts, **changes})


def test_everything_is_on_the_page_and_nothing_is_loaded():
    page = render_report(whole_report())
    parsed = parse(page)
    text = " ".join(parsed.text)
    for wanted in (
        "Demo <1>",
        "A synthetic volume",
        "0.250",
        "predict",
        "0.400",
        "3.00",
        "merge",
        "12\u202f345",
        "1.50 GB",
    ):
        assert wanted in text
    for wanted in ("3, 9223372036854775808", "1, 2, 3", "clew view raw.zarr", "A note.", "Thresholds & scores", "so thick",
                   "clew view --error 1", "clew agglomerate", "BLAKE2b 0a1b", "clew evaluate x y", "0.5000 bits"):  # fmt: skip
        assert wanted in text
    assert re.search(r"all stages.*?3\.00", page, re.DOTALL)
    kinds = [source.partition(";")[0] for source in parsed.sources]
    assert kinds == ["data:image/jpeg", "data:image/png", "data:image/png"]
    assert "background:#d55e00" in page
    assert not re.search(r"https?://|@import|url\(|<script", page)


def test_empty_parts_are_left_out():
    page = render_report(Report("Short", {"source": "x"}))
    text = " ".join(parse(page).text)
    headings = (
        "Sections",
        "Largest segments",
        "Scores",
        "Thresholds",
        "errors",
        "Look around",
        "Time",
        "Settings",
        "How",
    )
    for heading in headings:
        assert heading not in text.split("Short")[-1]


def test_a_report_is_replaced_only_by_a_whole_one(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(path, whole_report())
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_what_is_no_report_is_not_written_over(tmp_path):
    path = tmp_path / "report.html"
    refuse_other(path)
    write_report(path, whole_report())
    refuse_other(path)
    path.write_text("<html>somebody's page")
    for other in (path, tmp_path):
        with pytest.raises(InputError, match="no report of clew"):
            refuse_other(other)


def test_a_folder_that_cannot_be_written_gets_one_line():
    with pytest.raises(InputError, match="cannot write in the folder"):
        write_report("/proc/clew/report.html", whole_report())

"""The report is one whole, self-contained page."""

import re
from html.parser import HTMLParser

import pytest

from clew.errors import InputError
from clew.view.figures import threshold_figure
from clew.view.report import ErrorPlace, Report, ReportFigure, StageTime, render_report, write_report

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
    parts = {
        "title": "Demo <1>",
        "synthetic": True,
        "volume": {"shape": "10 × 10 × 10 voxels"},
        "scores": [{"range": "all", "VOI split": 0.25, "VOI merge": 0.5}],
        "stages": [StageTime("predict", 2.0, 5_000_000), StageTime("nothing", 1.0, 0)],
        "figures": [ReportFigure("Thresholds & scores", threshold_figure([0.1, 0.2], [1, 0.5], [0, 0.1]))],
        "errors": [ErrorPlace("merge", [3, 2**63], [7], 12345, (1, 2, 3))],
        "viewer_command": "clew view raw.zarr",
        "provenance": {"clew": "0.1.0"},
        "notes": ["A note."],
    }
    return Report(**{**parts, **changes})


def test_everything_is_on_the_page_and_nothing_is_loaded():
    page = render_report(whole_report())
    parsed = parse(page)
    text = " ".join(parsed.text)
    for wanted in ("Demo <1>", "A synthetic volume", "0.250", "predict", "0.400", "3.00", "merge", "12\u202f345"):
        assert wanted in text
    for wanted in ("3, 9223372036854775808", "1, 2, 3", "clew view raw.zarr", "A note.", "Thresholds & scores"):
        assert wanted in text
    assert re.search(r"all stages.*?3\.00", page, re.DOTALL)
    assert len(parsed.sources) == 1
    assert parsed.sources[0].startswith("data:image/png;base64,")
    assert not re.search(r"https?://|@import|url\(|<script", page)


def test_real_volumes_are_called_real():
    text = " ".join(parse(render_report(whole_report(synthetic=False))).text)
    assert "A real electron microscopy volume" in text
    assert "A synthetic volume" not in text


def test_empty_parts_are_left_out():
    page = render_report(Report("Short", False, {"source": "x"}))
    parse(page)
    for heading in ("Scores", "Figures", "Largest errors", "Look around", "Time", "How this was made"):
        assert heading not in page


def test_a_report_is_replaced_only_by_a_whole_one(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(path, whole_report())
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_that_cannot_be_written_gets_one_line():
    with pytest.raises(InputError, match="cannot write in the folder"):
        write_report("/proc/clew/report.html", whole_report())

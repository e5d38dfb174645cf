"""`clew report`: one page about any run, and what is said where there can be none."""

import html
import json
import re
import shlex
import shutil

import numpy as np
import pytest

from clew import cli, pipeline
from clew.blockwise.ledger import Ledger, Spent
from clew.errors import InputError
from clew.pipeline import _pictured
from clew.synthetic.volume import synthesize
from clew.view import meshes
from clew.volumes.save import save_volume
from clew.volumes.volume import Volume
from pipeline.block_runs import OPTIONS


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    path = tmp_path_factory.mktemp("truth") / "truth.zarr"
    save_volume(path, synthesize((24, 48, 64), seed=3).labels, voxel_size=(8, 8, 8))
    return str(path)


@pytest.fixture
def run(expected, tmp_path):
    """The folder of a run of `segment`."""
    shutil.copytree(expected, tmp_path / "my run")
    return tmp_path / "my run"


@pytest.fixture
def evaluated(run, truth):
    """With scores and errors."""
    tables = {"merge_tree": str(run / "merge_tree.h5"), "region_graph": str(run / "region_graph.h5")}
    lists = {"json": str(run / "scores.json"), "where": str(run / "errors.json")}
    pipeline.evaluate(str(run / "fragments.zarr"), truth, thresholds=11, threshold=1.0, **tables, **lists)
    return run


@pytest.fixture(autouse=True)
def few_pixels(monkeypatch):
    monkeypatch.setattr(_pictured, "SCENE", (80, 60))
    monkeypatch.setattr(_pictured, "BODY", (20, 20))
    monkeypatch.setattr(_pictured, "SINGLY", 2)


def words(page):
    """The text of a page, with single spaces."""
    shown = page.read_text().partition("</style>")[2]
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", shown)))


def test_a_run_without_truth_has_pictures_settings_and_inputs(run, affinities):
    pipeline.report(str(run))
    text = words(run / "report.html")
    for wanted in ("Report on my run", "24 × 48 × 64 voxels", "8 × 8 × 8 nm", "Largest segments", "Thresholds", "clew view",
                   "clew extract-fragments", "clew relabel", "minimum-size 20", "which makes", "clew evaluate"):  # fmt: skip
        assert wanted in text, wanted
    assert "which was used" not in text
    times = json.loads((run / "segmentation.zarr" / "zarr.json").read_text())["attributes"]["clew"]
    assert re.search(rf"relabel {times['seconds']:.2f} [\d.]+ {times['peak_memory'] / 1e9:.2f} GB", text)
    recorded = json.loads((affinities / "zarr.json").read_text())["attributes"]["clew"]
    assert f"id {recorded['id']}" in text, "the affinities are an input"
    made = json.loads((run / "fragments.zarr" / "zarr.json").read_text())["attributes"]["clew"]
    assert made["id"] not in text, "what the run made itself is none"
    assert "Costliest errors" not in text


def test_scores_and_errors_are_shown_with_the_threshold_that_was_used(evaluated, truth):
    pipeline.report(str(evaluated), truth=truth)
    text = words(evaluated / "report.html")
    listed = json.loads((evaluated / "errors.json").read_text())["errors"]
    used = next(row for row in json.loads((evaluated / "scores.json").read_text())["scores"] if row["threshold"] == 0.4)
    assert f"0.4 (used) {used['voi_split']:.3f} {used['voi_merge']:.3f}" in text
    assert "(best for this truth)" in text
    assert f"clew view {shlex.quote(str(evaluated))} --truth {truth} --error 1" in text
    assert f"{listed[0]['bits']:.4f} bits" in text
    assert (evaluated / "report.html").read_text().count("left segments, right neurons") == 2 * min(12, len(listed))
    assert "could say, too" not in text


def test_a_list_about_another_segmentation_is_left_out(evaluated, affinities, capsys):
    other = {key: value for key, value in OPTIONS.items() if key != "block_shape"} | {"boundary_threshold": 0.6}
    pipeline.segment(str(affinities), str(evaluated), **other, overwrite=True)
    pipeline.report(str(evaluated))
    said = capsys.readouterr().err
    assert "scores.json is about another segmentation" in said
    assert "errors.json is about another segmentation" in said
    assert "best for this truth" not in words(evaluated / "report.html")


def test_a_run_in_blocks_has_a_report_and_one_at_work_is_told(affinities, in_this_process, tmp_path):
    folder = tmp_path / "blocks"
    pipeline.segment_blocks(str(affinities), str(folder), **OPTIONS)
    Ledger(folder).add_spent({"pieces": Spent(3, 1.5, 2 * 10**9)})
    pipeline.report(str(folder), html=str(tmp_path / "page.html"))
    assert "clew segment-blocks" in words(tmp_path / "page.html")
    assert re.search(r"pieces: .* \(3 tasks\) 1\.50 [\d.]+ 2\.00 GB", words(tmp_path / "page.html"))
    cut = tmp_path / "cut"
    pipeline.relabel_blocks(str(folder), str(cut), threshold=0.7)
    pipeline.report(str(cut))
    assert re.search(r"threshold\s+0\.7", words(cut / "report.html"))
    (folder / "segmentation.zarr" / "zarr.json").unlink()
    with pytest.raises(InputError, match="is not finished .segmentation is not whole.*clew status"):
        pipeline.report(str(folder))


def test_skeleton_scores_are_a_table(run):
    rows = [{"threshold": t, "normalised_run_length": 1 - t, "errors_per_mm": 2.0, "skeletons": []} for t in (0.2, 0.4)]
    (run / "scores.json").write_text(json.dumps({"stage": "evaluate-skeletons", "scores": rows}))
    pipeline.report(str(run))
    text = words(run / "report.html")
    assert "0.4 (used) 0.600 2.000" in text
    assert "0.2 (best for this truth) 0.800" in text


def test_what_are_no_scores_is_told(run):
    for text, message in (
        ("[]", "JSON object"),
        ("{}", "lacks 'scores'"),
        ('{"scores": [{"x": 1}]}', "holds no scores"),
    ):
        (run / "scores.json").write_text(text)
        with pytest.raises(InputError, match=message):
            pipeline.report(str(run))


def test_bad_input_is_one_line(run, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (run / "report.html").write_text("mine")
    wanted = {"empty": "is no folder of a run", "not there": "is no folder of a run", run.name: "no report of clew"}
    for name, line in wanted.items():
        with pytest.raises(SystemExit) as stopped:
            cli.main(["report", str(tmp_path / name)])
        assert stopped.value.code == 2
        said = capsys.readouterr().err
        assert line in said
        assert said.count("\n") == 1
    assert (run / "report.html").read_text() == "mine"


def test_a_volume_is_read_in_sections_and_from_coarser_scales(run, monkeypatch):
    """What is read at a time stays small where volumes are large: 16 sections at most of surfaces, and points of sections."""
    monkeypatch.setattr(_pictured, "ACROSS", 16)
    monkeypatch.setattr(meshes, "VOXELS", 16**3)
    monkeypatch.setattr(meshes, "SLAB", 4)
    largest, read = [0], Volume.__getitem__

    def noted(self, selection):
        values = np.asarray(read(self, selection))
        largest[0] = max(largest[0], values.size)
        return values

    monkeypatch.setattr(Volume, "__getitem__", noted)
    pipeline.report(str(run))
    assert largest[0] <= 24 * 48 * 64 / 2

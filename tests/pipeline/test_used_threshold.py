"""The line "used" in a plot of thresholds stands where the segmentation beside the merge tree was cut."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import clew
from clew import pipeline, save_volume
from clew.pipeline._curve import best_of, used_threshold

STORED = {"suggested_threshold": 0.3, "suggested_score": clew.AgglomerationOptions().score}


@pytest.fixture
def affinities(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 12), np.uint8)
    save_volume(tmp_path / "affinities.zarr", values, voxel_size=(8, 8, 8), attributes=STORED)
    return str(tmp_path / "affinities.zarr")


def test_the_threshold_of_the_segmentation_is_the_used_one(affinities, tmp_path):
    tree = str(tmp_path / "whole" / "merge_tree.h5")
    pipeline.segment(affinities, str(tmp_path / "whole"), threshold=0.4, seed_window=3)
    assert used_threshold(tree) == 0.4
    pipeline.agglomerate(str(tmp_path / "whole" / "region_graph.h5"), tree, score="hist_quant_50", overwrite=True)
    assert used_threshold(tree) is None, "the segmentation was made of another tree"
    pipeline.segment_blocks(affinities, str(tmp_path / "blocks"), threshold=0.6, seed_window=3, workers=1)
    assert used_threshold(str(tmp_path / "blocks" / "merge_tree.h5")) == 0.6


def test_where_nothing_was_cut_no_threshold_was_used(affinities, tmp_path):
    pipeline.segment(affinities, str(tmp_path), threshold=0.4, seed_window=3)
    (tmp_path / "segmentation.zarr").rename(tmp_path / "other.zarr")
    assert used_threshold(str(tmp_path / "merge_tree.h5")) is None


def test_evaluate_prints_the_best_and_the_used_threshold_and_keeps_all(affinities, tmp_path, capsys):
    pipeline.segment(affinities, str(tmp_path), threshold=0.437, seed_window=3)
    assert re.search(
        r"^\d+ segments? of \d+ fragments, at threshold 0.437 of score \w+$", capsys.readouterr().out, re.M
    )
    fragments, tree, table = (str(tmp_path / name) for name in ("fragments.zarr", "merge_tree.h5", "scores.json"))
    curve = pipeline.evaluate(fragments, fragments, merge_tree=tree, json=table)
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.startswith(("best", "used"))]
    best, scores = best_of(curve)
    assert rows[0][:2] == ["best", f"{best:.3f}"]
    assert float(rows[0][4]) == pytest.approx(scores.voi_sum, abs=1e-4)
    used = pipeline.evaluate(str(tmp_path / "segmentation.zarr"), fragments)[0][1]
    assert rows[1][:2] == ["used", "0.437"]
    assert float(rows[1][4]) == pytest.approx(used.voi_sum, abs=1e-4)
    assert f"all 51 thresholds: {table}" in lines
    assert len(json.loads(Path(table).read_text())["scores"]) == 51
    assert len(lines) < 8
    (tmp_path / "segmentation.zarr").rename(tmp_path / "other.zarr")
    pipeline.evaluate(fragments, fragments, merge_tree=tree)
    assert re.search("^stored +0.300 .*\n.*--json", capsys.readouterr().out, re.M), "what came with the network"

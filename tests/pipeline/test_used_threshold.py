"""The line "used" in a plot of thresholds stands where the segmentation beside the merge tree was cut."""

import numpy as np
import pytest

from clew import pipeline, save_volume
from clew.pipeline.evaluate import used_threshold


@pytest.fixture
def affinities(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 12), np.uint8)
    save_volume(tmp_path / "affinities.zarr", values, voxel_size=(8, 8, 8), attributes={"suggested_threshold": 0.3})
    return str(tmp_path / "affinities.zarr")


def test_the_threshold_of_the_segmentation_is_the_used_one(affinities, tmp_path):
    tree = str(tmp_path / "whole" / "merge_tree.h5")
    pipeline.segment(affinities, str(tmp_path / "whole"), threshold=0.4, seed_window=3)
    assert used_threshold(tree) == 0.4
    pipeline.agglomerate(str(tmp_path / "whole" / "region_graph.h5"), tree, score="mean", overwrite=True)
    assert used_threshold(tree) is None, "the segmentation was made of another tree"
    pipeline.segment_blocks(affinities, str(tmp_path / "blocks"), threshold=0.6, seed_window=3, workers=1)
    assert used_threshold(str(tmp_path / "blocks" / "merge_tree.h5")) == 0.6


def test_where_nothing_was_cut_no_threshold_was_used(affinities, tmp_path):
    pipeline.segment(affinities, str(tmp_path), threshold=0.4, seed_window=3)
    (tmp_path / "segmentation.zarr").rename(tmp_path / "other.zarr")
    assert used_threshold(str(tmp_path / "merge_tree.h5")) is None

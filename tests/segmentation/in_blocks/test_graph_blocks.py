"""The two ends of what a block can decide about its regions: nothing, and everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.segmentation.agglomeration import agglomerate
from clew.segmentation.in_blocks.agglomeration import OpenGraph, merge_inside
from clew.segmentation.options import AgglomerationOptions
from clew.segmentation.region_graph import RegionGraph, build_region_graph


def random_graph(seed: int) -> RegionGraph:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 7, 3))
    fragments = rng.integers(0, rng.integers(2, 12), shape).astype(np.uint64)
    distinct = int(rng.choice([2, 5, 256]))
    return build_region_graph(
        (rng.integers(0, distinct, (3, *shape)) * (255 // (distinct - 1))).astype(np.uint8), fragments
    )


def opened(graph: RegionGraph, faces: int) -> OpenGraph:
    bits = np.full(len(graph.fragments), faces, np.uint8)
    return OpenGraph(graph.fragments, bits, graph.edges, graph.edges, graph.starts, graph.bins, graph.counts)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["hist_quant_50", "hist_quant_75_init_max"]))
@settings(max_examples=50, deadline=None)
def test_regions_that_all_touch_a_face_are_handed_on_unchanged(seed: int, score: str):
    graph = opened(random_graph(seed), faces=4)
    merges, left = merge_inside(graph, AgglomerationOptions(score))
    assert not len(merges.levels)
    for name in ("regions", "faces", "edges", "keys", "starts", "bins", "counts"):
        np.testing.assert_array_equal(getattr(left, name), getattr(graph, name), err_msg=name)


@pytest.mark.parametrize("floor", [0.0, 0.4])
@given(st.integers(0, 2**32 - 1), st.sampled_from(["mean", "hist_quant_50"]))
@settings(max_examples=50, deadline=None)
def test_regions_that_touch_no_face_are_merged_at_once(floor: float, seed: int, score: str):
    graph, options = random_graph(seed), AgglomerationOptions(score, floor)
    merges, left = merge_inside(opened(graph, faces=0), options)
    whole = agglomerate(graph, options=options)
    np.testing.assert_array_equal(merges.pairs, whole.merges)
    np.testing.assert_array_equal(merges.levels, np.rint(whole.scores.astype(np.float64) * 65535))
    assert not left.regions.size
    assert not left.edges.size

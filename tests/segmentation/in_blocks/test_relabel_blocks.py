"""Dust, small segments, relabelling and overlap in blocks equal the whole."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import MemoryStore, as_record
from clew.blockwise.tasks import run_serial
from clew.evaluation.in_blocks import overlap_tasks
from clew.evaluation.overlap import OverlapTable, overlap_table
from clew.segmentation.agglomeration import agglomerate
from clew.segmentation.in_blocks.agglomeration import agglomeration_tasks
from clew.segmentation.in_blocks.constraints import Given
from clew.segmentation.in_blocks.relabel import load_counts, relabel_tasks
from clew.segmentation.in_blocks.segment import segmentation_tasks
from clew.segmentation.options import AgglomerationOptions, CutOptions, SegmentationOptions
from clew.segmentation.region_graph import build_region_graph
from clew.segmentation.relabel import relabel
from clew.segmentation.segment import cut_lookup
from segmentation.in_blocks.cases import SCORES, assert_equal_records, fragment_cases


def relabelled(affinities, fragments, options, cut):
    graph = build_region_graph(affinities, fragments)
    tree = agglomerate(graph, options=options)
    return relabel(fragments, tree.fragments, cut_lookup(tree, cut, graph))


@settings(max_examples=150, deadline=None)
@given(
    fragment_cases(), st.sampled_from(SCORES), st.sampled_from([0.0, 0.3, 0.6]), st.sampled_from([0, 2, 5, 20]),
    st.sampled_from([0, 3, 30]),
)  # fmt: skip
def test_equals_the_whole(case, score, threshold, minimum_size, remove_below):
    affinities, fragments, block_shape, rng = case
    options = AgglomerationOptions(score, floor=1 - threshold)
    cut = CutOptions(threshold, minimum_size, remove_below)
    expected = relabelled(affinities, fragments, options, cut)
    shape = fragments.shape
    truth = rng.integers(0, 4, shape)
    grid = Grid(Domain.whole(shape), block_shape)
    volumes = {
        "affinities": affinities, "fragments": fragments, "truth": truth, "segmentation": np.zeros(shape, np.uint64)
    }  # fmt: skip
    store = MemoryStore(grid.domain, volumes)
    tasks = agglomeration_tasks(grid, options) + relabel_tasks(grid, cut, score=score)
    run_serial(tasks + overlap_tasks(grid), store, rng=rng)
    np.testing.assert_array_equal(store.volumes["segmentation"], expected)
    ids = [np.unique(volume[volume > 0]) for volume in (expected, fragments)]
    assert load_counts(store, grid) == tuple(map(len, ids))
    assert_equal_records(as_record(OverlapTable, store.load(("overlap",))), overlap_table(expected, truth))


def test_no_task_reads_or_writes_more_tables_in_a_larger_volume():
    counts = []
    for blocks in (8, 16):
        grid = Grid(Domain.whole((8 * blocks,) * 3), (8, 8, 8))
        options = SegmentationOptions(cut=CutOptions(0.5, minimum_size=30, remove_below=30))
        tasks = segmentation_tasks(grid, options, given=Given(True))
        counts.append((max(len(task.reads) for task in tasks), max(len(task.writes) for task in tasks)))
    assert counts[0] == counts[1]

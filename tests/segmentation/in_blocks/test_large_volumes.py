"""Blocks far inside a volume of 2⁶⁰ voxels: names and orders need more than 32 bits, nothing that large is allocated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.tasks import run_serial
from clew.errors import InputError
from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.in_blocks.forest import start_forest
from clew.segmentation.in_blocks.fragments import fragment_tasks
from clew.segmentation.in_blocks.segment import memory_store, segmentation_tasks
from clew.segmentation.in_blocks.tree import load_tree
from clew.segmentation.options import AgglomerationOptions, CutOptions, FragmentOptions, SegmentationOptions
from clew.segmentation.segment import build_merge_tree
from clew.space import Box
from segmentation.in_blocks.cases import affinity_cases, assert_equal_records

FRAME = (2**20, 2**20, 2**20)


def far_domain(shape, rng):
    low = tuple(int(rng.integers(2**19, length - size + 1)) for length, size in zip(FRAME, shape, strict=True))
    return Domain(Box.whole(shape).shifted(low), FRAME)


def far_names(shape, domain):
    """The name of each fragment of a small volume, by its name there, when it lies in the domain."""
    places = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape)).astype(object)
    z, y, x = (axis + low for axis, low in zip(places, domain.box.low, strict=True))
    return np.append(np.uint64(0), ((z * FRAME[1] + y) * FRAME[2] + x + 1).astype(np.uint64))


@settings(max_examples=60, deadline=None)
@given(affinity_cases(), st.sampled_from(["mean", "hist_quant_50", "hist_quant_75_init_max"]))
def test_equals_a_small_volume_but_for_the_ids(case, score):
    affinities, mask, fragment_options, block_shape, rng = case
    options = SegmentationOptions(fragment_options, AgglomerationOptions(score), CutOptions(0.4, 3))
    shape = affinities.shape[1:]
    domain = far_domain(shape, rng)
    grid = Grid(domain, block_shape)
    store = memory_store(grid, affinities, mask)
    run_serial(segmentation_tasks(grid, options, masked=mask is not None), store, rng=rng)
    names = far_names(shape, domain)
    fragments, _, tree = build_merge_tree(
        affinities, mask=mask, fragment_options=fragment_options, agglomeration_options=options.agglomeration
    )
    np.testing.assert_array_equal(store.volumes["fragments"], names[fragments.astype(int)])
    far = MergeTree(names[tree.fragments.astype(int)], tree.sizes, names[tree.merges.astype(int)], tree.scores, score)
    assert_equal_records(load_tree(store, score), far)


def test_ids_reach_beyond_32_bits():
    domain = far_domain((4, 4, 4), np.random.default_rng(0))
    grid = Grid(domain, (2, 2, 2))
    store = memory_store(grid, np.full((3, 4, 4, 4), 200, np.uint8))
    run_serial(segmentation_tasks(grid, SegmentationOptions()), store)
    assert (store.volumes["segmentation"] == far_names((4, 4, 4), domain)[1]).all()
    assert store.volumes["segmentation"][0, 0, 0] > 2**58


def test_volumes_and_blocks_that_are_too_large_are_refused():
    with pytest.raises(InputError, match="too many voxels"):
        Grid(Domain(Box.whole((8, 8, 8)), (2**21, 2**21, 2**21)), (4, 4, 4))
    shape = (1024, 1024, 1024)
    grid = Grid(Domain.whole(shape), shape)
    nothing = np.broadcast_to(np.uint8(0), (3, *shape))
    with pytest.raises(InputError, match="fewer than 2\\^30.*--block-shape"):
        start_forest(nothing, grid.block((0, 0, 0)), options=FragmentOptions())
    with pytest.raises(InputError, match="fewer than 2\\^30.*--block-shape"):
        fragment_tasks(grid, FragmentOptions())
    shape = (1100, 1100, 3000)
    grid = Grid(Domain.whole(shape), (1000, 1000, 1000))
    assert fragment_tasks(grid, FragmentOptions(method="affinity-watershed"))
    with pytest.raises(InputError, match="fewer than 2\\^30.*--block-shape"):
        fragment_tasks(Grid(grid.domain, (1010, 1010, 1010)), FragmentOptions())

"""Region graph and merge tree of blocks are those of the whole, ties included, for every shape and order of blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew import memory
from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import MemoryStore
from clew.blockwise.tasks import run_serial
from clew.errors import InputError
from clew.segmentation.agglomeration import agglomerate
from clew.segmentation.in_blocks import agglomeration as agglomeration_blocks
from clew.segmentation.in_blocks.agglomeration import agglomeration_tasks, load_contacts
from clew.segmentation.in_blocks.segment import bytes_of_last_level
from clew.segmentation.in_blocks.tree import load_tree
from clew.segmentation.options import AgglomerationOptions
from clew.segmentation.region_graph import build_region_graph, merge_region_graphs
from segmentation.in_blocks.cases import SCORES, assert_equal_records, fragment_cases


def tree_of_blocks(affinities, fragments, block_shape, options, rng=None):
    shape = fragments.shape
    grid = Grid(Domain.whole(shape), block_shape)
    store = MemoryStore(grid.domain, {"affinities": affinities, "fragments": fragments})
    run_serial(agglomeration_tasks(grid, options), store, rng=rng)
    return load_tree(store, options.score), store, grid


@settings(max_examples=150, deadline=None)
@given(fragment_cases(), st.sampled_from(SCORES), st.sampled_from([0.0, 0.3, 0.6, 1.0]))
def test_equals_the_whole(case, score, floor):
    affinities, fragments, block_shape, rng = case
    options = AgglomerationOptions(score, floor)
    graph = build_region_graph(affinities, fragments)
    found, store, grid = tree_of_blocks(affinities, fragments, block_shape, options, rng)
    assert_equal_records(found, agglomerate(graph, options=options))
    assert_equal_records(merge_region_graphs([load_contacts(store, place) for place in grid.places()]), graph)


def test_a_fragment_in_pieces_far_apart_is_refused():
    fragments = np.array([0, 1, 2, 0, 0, 0, 0, 0, 0, 1, 2, 0], np.uint64).reshape(1, 1, 12)
    affinities = np.full((3, *fragments.shape), 255, np.uint8)
    with pytest.raises(InputError, match="26 neighbours"):
        tree_of_blocks(affinities, fragments, (1, 1, 4), AgglomerationOptions("mean"))


def test_more_edges_than_fit_in_memory_are_refused(monkeypatch):
    rng = np.random.default_rng(0)
    fragments = rng.integers(1, 2**40, (2, 2, 4)).astype(np.uint64)
    affinities = np.full((3, *fragments.shape), 200, np.uint8)
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    tree_of_blocks(affinities, fragments, (2, 2, 2), AgglomerationOptions("mean"))
    monkeypatch.setattr(agglomeration_blocks, "UNCHECKED_EDGES", 3)
    with pytest.raises(InputError, match=r"at level 1, of \d+ edges, needs about .* GB of memory.*clew retry"):
        tree_of_blocks(affinities, fragments, (2, 2, 2), AgglomerationOptions("mean"))


def test_the_last_level_needs_more_in_a_larger_volume_and_nothing_in_one_block():
    def needed(edge, block=256):
        return bytes_of_last_level(Grid(Domain.whole((edge,) * 3), (block,) * 3))

    assert needed(256) == 0
    assert 0.3e9 < needed(1024) < 0.6e9, "0.56 GB were resident in a run of this size"
    assert needed(4096) < 64 * needed(1024)
    assert needed(16384) > 60 * needed(4096), "edges hardly become fewer"

"""Region graph and merge tree of blocks are those of the whole, ties included, for every shape and order of blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import MemoryStore
from clew.blockwise.tasks import run_serial
from clew.errors import InputError
from clew.segmentation.agglomeration import agglomerate
from clew.segmentation.in_blocks.agglomeration import agglomeration_tasks, load_contacts
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

"""Region graph and merge tree of blocks are those of the whole, ties included, for every shape and order of blocks."""

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import MemoryStore
from clew.blockwise.tasks import run_serial
from clew.segmentation.agglomeration import agglomerate
from clew.segmentation.agglomeration_options import AgglomerationOptions
from clew.segmentation.fragment_options import FragmentOptions
from clew.segmentation.fragments import extract_fragments
from clew.segmentation.in_blocks.agglomeration import agglomeration_tasks, load_contacts, load_tree
from clew.segmentation.region_graph import build_region_graph, merge_region_graphs

SCORES = ["mean", *(f"hist_quant_{q}{m}" for q in (0, 25, 50, 75, 100) for m in ("", "_init_max"))]


def assert_equal_records(found, expected):
    for field in dataclasses.fields(expected):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name), err_msg=field.name)


def tree_of_blocks(affinities, fragments, block_shape, options, rng=None):
    shape = fragments.shape
    grid = Grid(Domain((0, 0, 0), shape, shape), block_shape)
    store = MemoryStore(grid.domain, {"affinities": affinities, "fragments": fragments})
    run_serial(agglomeration_tasks(grid, options), store, rng=rng)
    return load_tree(store, options.score), store, grid


@st.composite
def cases(draw):
    """Affinities of few levels or many, fragments of them by one of the exact methods, a block shape."""
    shape = tuple(draw(st.integers(1, 12)) for _ in range(3))
    block_shape = tuple(draw(st.integers(1, 8)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.sampled_from([2, 3, 5, 256]))
    affinities = (rng.integers(0, count, (3, *shape)) * (255 // (count - 1))).astype(np.uint8)
    method = draw(st.sampled_from(["seeded-forest", "affinity-watershed"]))
    low = draw(st.sampled_from([0.0, 0.5, 0.9]))
    fragments = extract_fragments(
        affinities, options=FragmentOptions(method=method, low=low, high=1.0, seed_window=3, distance_cap=2)
    )
    if draw(st.booleans()):
        affinities = (affinities / np.float32(255)).astype(np.float32)
    return affinities, fragments, block_shape, rng


@settings(max_examples=150, deadline=None)
@given(cases(), st.sampled_from(SCORES), st.sampled_from([0.0, 0.3, 0.6, 1.0]))
def test_equals_the_whole(case, score, floor):
    affinities, fragments, block_shape, rng = case
    options = AgglomerationOptions(score, floor)
    graph = build_region_graph(affinities, fragments)
    found, store, grid = tree_of_blocks(affinities, fragments, block_shape, options, rng)
    assert_equal_records(found, agglomerate(graph, options=options))
    assert_equal_records(merge_region_graphs([load_contacts(store, place) for place in grid.places()]), graph)

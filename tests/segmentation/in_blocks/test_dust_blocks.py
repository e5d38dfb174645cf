"""Dust in blocks: the whole's segments where most is dust, ids keep it apart, and much of it hangs together."""

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from clew import memory
from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import MemoryStore
from clew.blockwise.tasks import run_serial
from clew.errors import InputError
from clew.segmentation.agglomeration import agglomerate
from clew.segmentation.constraints import find_constraints
from clew.segmentation.in_blocks import dust as dust_blocks
from clew.segmentation.in_blocks.agglomeration import agglomeration_tasks
from clew.segmentation.in_blocks.constraints import Given
from clew.segmentation.in_blocks.relabel import relabel_tasks
from clew.segmentation.options import AgglomerationOptions, CutOptions
from clew.segmentation.region_graph import build_region_graph
from clew.segmentation.relabel import relabel
from clew.segmentation.segment import cut_lookup
from segmentation.in_blocks.cases import SCORES

SEEDS = st.integers(0, 2**32 - 1)


def dusty_volume(rng, longest=7):
    """Affinities, of which few are high; fragments of one voxel, 1 + its index, some of them missing; ids in some voxels."""
    shape = tuple(rng.integers(1, longest, 3))
    levels = rng.integers(0, rng.choice([3, 6, 100]), (3, *shape)).astype(np.uint8)
    levels[rng.random(levels.shape) < rng.choice([0.2, 0.5])] = 255
    fragments = np.arange(1, levels[0].size + 1, dtype=np.uint64).reshape(shape)
    fragments[rng.random(shape) < rng.choice([0, 0.3, 0.6])] = 0
    ids = rng.integers(0, 4, shape) * (rng.random(shape) < rng.choice([0, 0.1, 0.4]))
    return levels, fragments, ids


def blocks_of(affinities, fragments, ids, block_shape, cut, score, rng=None):
    grid = Grid(Domain.whole(fragments.shape), block_shape)
    volumes = {"affinities": affinities, "fragments": fragments, "segmentation": np.zeros(fragments.shape, np.uint64)}
    store = MemoryStore(grid.domain, volumes | {"cannot_link": ids})
    tasks = agglomeration_tasks(grid, AgglomerationOptions(score), Given(True))
    run_serial(tasks + relabel_tasks(grid, cut, score=score, constrained=True), store, rng=rng)
    return store, grid


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.sampled_from(SCORES), st.sampled_from([2, 4, 9]), st.sampled_from([0, 0, 12]))
def test_equals_the_whole(seed, score, minimum_size, remove_below):
    rng = np.random.default_rng(seed)
    affinities, fragments, ids = dusty_volume(rng)
    block_shape = tuple(rng.integers(1, 4, 3))
    cut = CutOptions(0.5, minimum_size, remove_below)
    graph = build_region_graph(affinities, fragments)
    constraints = find_constraints(fragments, cannot_link=ids)
    tree = agglomerate(graph, options=AgglomerationOptions(score), constraints=constraints)
    expected = relabel(fragments, tree.fragments, cut_lookup(tree, cut, graph))
    store, grid = blocks_of(affinities, fragments, ids, block_shape, cut, score, rng)
    event(f"levels: {grid.top}, ids: {bool(len(tree.cannot_link))}")
    np.testing.assert_array_equal(store.volumes["segmentation"], expected)


def test_dust_inside_a_block_does_not_go_up():
    """Two large segments touch the face between two blocks; dust of one voxel lies inside each, and one more on the face."""
    fragments = np.repeat(np.array([1, 2], np.uint64), 6)[None, None].repeat(5, 0).repeat(5, 1)
    fragments[2, 2, [2, 9]] = 100, 200
    fragments[0, 0, 5:7] = 300
    affinities = np.full((3, *fragments.shape), 10, np.uint8)
    affinities[:, 2, 2, :] = 20
    zeros = np.zeros(fragments.shape, np.uint64)
    store, grid = blocks_of(affinities, fragments, zeros, (5, 5, 6), CutOptions(0.5, minimum_size=3), "mean")
    left = [store.load(("dust", 0, *place))["contacts-edges"].tolist() for place in grid.places()]
    assert left == [[[1, 300]], [[1, 300], [2, 300]]] or left == [[[1, 300]], [[2, 300]]]
    assert np.unique(store.volumes["segmentation"]).tolist() == [1, 2]


def test_dust_waits_for_ids_that_other_dust_may_have_beyond_the_block():
    """Beside a large segment (2) inside the first block is dust with an id (8), and dust (12) that goes on to dust with another."""
    fragments = np.zeros((1, 3, 7), np.uint64)
    fragments[0, :, 1:4] = 2
    fragments[0, 1] = 8, 2, 2, 2, 12, 12, 14
    affinities = np.full((3, *fragments.shape), 255, np.uint8)
    affinities[2, 0, 1, [1, 4, 6]] = 50, 80, 100
    ids = np.zeros(fragments.shape, int)
    ids[0, 1, [0, 6]] = 1, 2
    store, _ = blocks_of(affinities, fragments, ids, (1, 3, 6), CutOptions(0.5, minimum_size=4), "mean")
    assert store.volumes["segmentation"][0, 1].tolist() == [8, 2, 2, 2, 2, 2, 2]


def test_more_contacts_than_fit_in_memory_are_refused(monkeypatch):
    affinities, fragments = np.zeros((3, 2, 2, 4), np.uint8), np.arange(1, 17, dtype=np.uint64).reshape(2, 2, 4)
    given = affinities, fragments, np.zeros(fragments.shape, np.uint64), (2, 2, 2), CutOptions(0.5, 3), "mean"
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    blocks_of(*given)
    monkeypatch.setattr(dust_blocks, "UNCHECKED_CONTACTS", 3)
    with pytest.raises(
        InputError, match=r"dust at level 1, with \d+ contacts, needs about .* GB of memory.*clew retry"
    ):
        blocks_of(*given)

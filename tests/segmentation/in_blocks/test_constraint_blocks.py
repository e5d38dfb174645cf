"""Constraints in blocks: the whole's tree and segmentation, ties included, for every shape and order of blocks."""

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import MemoryStore
from clew.blockwise.tasks import run_serial
from clew.errors import InputError
from clew.segmentation.agglomeration import agglomerate
from clew.segmentation.constraints import PointConstraints, find_constraints
from clew.segmentation.in_blocks.agglomeration import agglomeration_tasks
from clew.segmentation.in_blocks.constraints import Given, points_in_blocks
from clew.segmentation.in_blocks.relabel import relabel_tasks
from clew.segmentation.in_blocks.tree import load_tree
from clew.segmentation.options import AgglomerationOptions, CutOptions
from clew.segmentation.region_graph import build_region_graph
from clew.segmentation.relabel import relabel
from clew.segmentation.segment import cut_lookup
from clew.space import Box
from segmentation.in_blocks.cases import SCORES, assert_equal_records, fragment_cases


def random_constraints(shape, rng):
    """A label volume of few ids in few voxels, or none; points of splits and of groups to be linked, or none."""
    labels = rng.integers(0, 4, shape) * (rng.random(shape) < rng.choice([0.01, 0.05, 0.3]))
    voxels = lambda count: rng.integers(0, shape, (count, 3))  # noqa: E731
    link, cut = rng.integers(2, 6, 2) * (rng.random(2) < 0.6)
    links = np.column_stack([voxels(link), rng.integers(1, 3, link)])
    splits = np.column_stack([voxels(cut), rng.integers(1, 3, cut), rng.integers(1, 3, cut)])
    return labels if rng.random() < 0.7 else None, PointConstraints(links, splits)


@settings(max_examples=150, deadline=None)
@given(fragment_cases(), st.sampled_from(SCORES), st.sampled_from([0.3, 0.6, 1.0]), st.sampled_from([0, 5, 20]))
def test_equals_the_whole(case, score, threshold, minimum_size):
    affinities, fragments, block_shape, rng = case
    labels, points = random_constraints(fragments.shape, rng)
    options, cut = AgglomerationOptions(score, floor=1 - threshold), CutOptions(threshold, minimum_size)
    graph = build_region_graph(affinities, fragments)
    grid = Grid(Domain.whole(fragments.shape), block_shape)
    volumes = {"affinities": affinities, "fragments": fragments, "segmentation": np.zeros(fragments.shape, np.uint64)}
    store = MemoryStore(grid.domain, volumes if labels is None else volumes | {"cannot_link": labels})
    constraints = Given(labels is not None, points)
    tasks = agglomeration_tasks(grid, options, constraints)
    tasks += relabel_tasks(grid, cut, score=score, constrained=bool(constraints))
    try:
        found = find_constraints(fragments, cannot_link=labels, points=points)
        tree = agglomerate(graph, options=options, constraints=found)
    except InputError:
        event("contradiction")
        with pytest.raises(InputError, match="must be one region"):
            run_serial(tasks, store, rng=rng)
        return
    event(
        f"links: {bool(len(tree.must_link))}, splits: {bool(len(tree.cannot_link))}, merges: {bool(len(tree.merges))}"
    )
    run_serial(tasks, store, rng=rng)
    assert_equal_records(load_tree(store, score), tree)
    expected = relabel(fragments, tree.fragments, cut_lookup(tree, cut, graph))
    np.testing.assert_array_equal(store.volumes["segmentation"], expected)


def test_each_block_gets_the_points_in_it_in_their_order():
    rng = np.random.default_rng(0)
    grid = Grid(Domain(Box.between((2, 0, 3), (9, 8, 12)), (10, 10, 14)), (4, 4, 4))
    links, sides = (
        np.column_stack([rng.integers(0, (10, 10, 14), (60, 3)), rng.integers(0, 9, (60, more))]) for more in (1, 2)
    )
    found = points_in_blocks(PointConstraints(links, sides), grid)
    assert list(found) == grid.places()
    for place, points in found.items():
        voxels = grid.block(place).owned.voxels()
        assert points.cannot_link.tolist() == [row for row in sides.tolist() if tuple(row[:3]) in voxels]
        wanted = [[*row, int((links[:, 3] == row[3]).sum())] for row in links.tolist() if tuple(row[:3]) in voxels]
        assert points.must_link.tolist() == wanted

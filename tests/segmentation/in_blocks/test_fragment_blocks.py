"""Fragments of blocks are those of the whole, down to their ids, for every shape and order of blocks."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import MemoryStore
from clew.blockwise.tasks import run_serial
from clew.segmentation.constraints import PointConstraints
from clew.segmentation.fragments import extract_fragments
from clew.segmentation.in_blocks.fragments import fragment_tasks
from segmentation.in_blocks.cases import affinity_cases


def fragments_in_blocks(affinities, block_shape, options, mask=None, rng=None, ids=None, points=PointConstraints()):
    shape = affinities.shape[1:]
    domain = Domain.whole(shape)
    grid = Grid(domain, block_shape)
    volumes = {"affinities": affinities, "pieces": np.zeros(shape, np.uint32), "fragments": np.zeros(shape, np.uint64)}
    if mask is not None:
        volumes["mask"] = mask
    if ids is not None:
        volumes["cannot_link"] = ids
    store = MemoryStore(domain, volumes)
    tasks = fragment_tasks(
        grid, options, masked=mask is not None, labelled=ids is not None, cannot_link=points.cannot_link
    )
    run_serial(tasks, store, rng=rng)
    return store.volumes["fragments"]


@settings(max_examples=300, deadline=None)
@given(affinity_cases())
def test_equals_the_whole(case):
    affinities, mask, options, block_shape, rng = case
    expected = extract_fragments(affinities, mask=mask, options=options)
    found = fragments_in_blocks(affinities, block_shape, options, mask, rng)
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=100, deadline=None)
@given(affinity_cases())
def test_ids_are_seeds_in_any_blocks(case):
    affinities, mask, options, block_shape, rng = case
    options, shape = replace(options, method="seeded-forest"), affinities.shape[1:]
    ids = (rng.integers(1, 4, shape) * (rng.random(shape) < rng.choice([0.05, 0.3, 0.9]))).astype(np.uint64)
    expected = extract_fragments(affinities, mask=mask, cannot_link=ids, options=options)
    found = fragments_in_blocks(affinities, block_shape, options, mask, rng, ids)
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=60, deadline=None)
@given(affinity_cases())
def test_points_divide_fragments_in_any_blocks(case):
    affinities, mask, options, block_shape, rng = case
    options, shape = replace(options, method="seeded-forest"), affinities.shape[1:]
    voxels = np.column_stack([rng.integers(0, size, 6) for size in shape])
    points = PointConstraints(cannot_link=np.column_stack([voxels, rng.integers(0, 3, 6), rng.integers(1, 4, 6)]))
    expected = extract_fragments(affinities, mask=mask, points=points, options=options)
    found = fragments_in_blocks(affinities, block_shape, options, mask, rng, points=points)
    np.testing.assert_array_equal(found, expected)
    sides: dict[tuple[int, int], set[int]] = {}
    rows = zip(expected[tuple(voxels.T)].tolist(), points.cannot_link[:, 3:].tolist(), strict=True)
    for fragment, (split, side) in rows:
        sides.setdefault((fragment, split), set()).add(side)
    again = {int(expected[tuple(voxel)]) for voxel in voxels if (voxels == voxel).all(axis=1).sum() > 1}
    several = {fragment for (fragment, _), held in sides.items() if fragment and len(held) > 1}
    assert several <= again, "only a voxel can be on two sides"

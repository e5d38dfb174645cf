"""Runs of ids, boxes of ids, and cuts of a tree, against the obvious."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from clew import MergeTree, segment_lookup
from clew.errors import InputError
from clew.view import meshes
from clew.view.cuts import Cuts, runs_of
from clew.view.meshes import boxes_of

SHAPES = some.tuples(some.integers(1, 7), some.integers(1, 4), some.integers(1, 5))


def volumes(most):
    return some.builds(
        lambda shape, seed: np.random.default_rng(seed).integers(0, most, shape).astype(np.uint64),
        SHAPES,
        some.integers(0, 999),
    )


@given(volumes(3))
def test_runs_are_all_voxels_in_their_order(values):
    runs = runs_of(values)
    np.testing.assert_array_equal(np.repeat(runs.ids, runs.lengths), values.ravel())
    assert (runs.ids[1:] != runs.ids[:-1]).all()


@settings(deadline=None)
@given(volumes(4), some.integers(1, 3))
def test_boxes_are_where_ids_lie(values, slab):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meshes, "SLAB", slab)
        found = boxes_of(values)
    assert found.ids.tolist() == [name for name in np.unique(values).tolist() if name]
    for name, low, high, count in zip(*found, strict=True):
        assert count == np.count_nonzero(values == name)
        voxels = np.argwhere(values == name)
        assert (low.tolist(), high.tolist()) == (voxels.min(0).tolist(), (voxels.max(0) + 1).tolist())


TREE = MergeTree(np.array([3, 5, 2**40], np.uint64), np.array([1, 1, 1]), np.array([[3, 5], [3, 2**40]], np.uint64),
                 np.array([0.9, 0.3], np.float32), "mean")  # fmt: skip


def test_segments_are_those_of_the_lookup_and_nothing_stays_nothing():
    cuts = Cuts(TREE)
    assert cuts.dtype == np.uint64, "ids above 32 bits keep all of theirs"
    positions = cuts.positions(np.array([0, 5, 2**40, 3], np.uint64))
    for step in (0, 10, 11, 70, 71, 100):
        first, second, third = segment_lookup(TREE, step / 100).tolist()
        assert cuts.segments(positions, step).tolist() == [0, second, third, first]
    assert cuts.members(3, 50).tolist() == [3, 5]
    assert not len(cuts.members(5, 50))


@pytest.mark.parametrize("strange", [4, 2**41])
def test_a_fragment_of_another_tree_is_refused(strange):
    with pytest.raises(InputError, match=f"fragment {strange} is not in the merge tree"):
        Cuts(TREE).positions(np.array([3, strange], np.uint64))

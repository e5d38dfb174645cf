"""Blocks tile a domain, levels join them, and what they see covers every pair of neighbours once or more."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.blockwise.block import Domain, global_indices
from clew.blockwise.grid import Grid, beside, even_blocks
from clew.errors import InputError
from clew.space import Box

TRIPLES = st.tuples(*[st.integers(1, 7)] * 3)


@settings(max_examples=60, deadline=None)
@given(TRIPLES, TRIPLES, TRIPLES)
def test_blocks_tile_the_domain_at_every_level(low, shape, block_shape):
    high = tuple(a + b for a, b in zip(low, shape, strict=True))
    frame = tuple(a + 3 for a in high)
    grid = Grid(Domain(Box.between(low, high), frame), block_shape)
    for level in range(grid.top + 1):
        count = np.zeros(frame, int)
        for place in grid.places(level):
            block = grid.block(place, level)
            count[block.owned] += 1
            if level:
                parts = np.zeros(frame, int)
                for part in grid.parts(place, level):
                    parts[grid.block(part, level - 1).owned] += 1
                inside = np.zeros(frame, int)
                inside[block.owned] = 1
                np.testing.assert_array_equal(parts, inside)
        expected = np.zeros(frame, int)
        expected[tuple(map(slice, low, high))] = 1
        np.testing.assert_array_equal(count, expected)
    assert grid.levels[-1] == (1, 1, 1)


@settings(max_examples=40, deadline=None)
@given(TRIPLES, TRIPLES)
def test_shared_voxels_are_those_that_two_blocks_see(shape, block_shape):
    grid = Grid(Domain.whole(shape), block_shape)
    seen = np.zeros(shape, int)
    for place in grid.places():
        seen[grid.block(place).seen] += 1
    for place in grid.places():
        block = grid.block(place)
        numbers = np.arange(np.prod(shape)).reshape(shape)[block.seen].ravel()
        alone = seen[block.seen].ravel() == 1
        np.testing.assert_array_equal(block.holds_alone(numbers), alone)
        np.testing.assert_array_equal(global_indices(np.arange(np.prod(block.seen.shape)), block.seen, shape), numbers)
    for axis, place in grid.faces():
        both = np.zeros(shape, int)
        for other in (place, beside(place, axis, 1)):
            both[grid.block(other).seen] += 1
        face = np.zeros(shape, int)
        face[grid.face_box(axis, place)] = 1
        np.testing.assert_array_equal(both == 2, face == 1)


def test_every_two_neighbouring_voxels_are_read_by_one_block():
    shape = (5, 6, 4)
    grid = Grid(Domain.whole(shape), (2, 3, 1))
    boxes = [grid.block(place).seen for place in grid.places()]
    for voxel in np.ndindex(shape):
        for step in product((-1, 0, 1), repeat=3):
            other = tuple(p + s for p, s in zip(voxel, step, strict=True))
            if all(0 <= p < n for p, n in zip(other, shape, strict=True)):
                assert any(all(axis.start <= p < axis.stop for v in (voxel, other) for p, axis in zip(v, box, strict=True))
                           for box in boxes)  # fmt: skip


def test_impossible_values_are_refused():
    with pytest.raises(InputError, match="nothing to segment"):
        Grid(Domain(Box.between((0, 0, 3), (4, 4, 3)), (4, 4, 4)), (2, 2, 2))
    with pytest.raises(InputError, match="at least one voxel"):
        Grid(Domain.whole((4, 4, 4)), (2, 0, 2))


def test_blocks_of_a_volume_are_even():
    assert even_blocks((520, 520, 520)) == (192, 192, 192)
    assert even_blocks((256, 257, 10)) == (256, 192, 64)
    assert even_blocks((4000, 1, 64)) == (256, 64, 64)

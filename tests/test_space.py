"""Boxes, against the voxels that numpy finds by them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import InputError
from clew.space import Box, triple

FAR = 12
"""More than any box of these tests reaches from the corner of the volume."""
SHAPES = st.tuples(*[st.integers(1, 5)] * 3)
STEPS = st.tuples(*[st.integers(-4, 4)] * 3)
MORE = st.tuples(*[st.integers(0, 3)] * 3)
BOXES = st.builds(lambda shape, low: Box.whole(shape).shifted(low), SHAPES, STEPS)


def voxels(box: Box) -> np.ndarray:
    """Which voxels a box holds, in a volume that begins at (-FAR, -FAR, -FAR)."""
    found = np.zeros((3 * FAR,) * 3, bool)
    found[tuple(slice(axis.start + FAR, axis.stop + FAR) for axis in box)] = True
    return found


@given(SHAPES, STEPS)
def test_corners_shape_and_size(shape, low):
    box = Box.between(low, (a + n for a, n in zip(low, shape, strict=True)))
    found = np.argwhere(voxels(box)) - FAR
    assert (box.low, box.high) == (tuple(found.min(0)), tuple(found.max(0) + 1))
    assert box.shape == shape
    assert box.size == len(found)
    assert box == Box.whole(shape).shifted(low)


@given(SHAPES, SHAPES)
def test_a_box_indexes_an_array(shape, more):
    values = np.arange(np.prod(shape)).reshape(shape)
    assert Box.whole(shape) == Box.whole((7, *shape))
    np.testing.assert_array_equal(values[Box.whole(shape)], values)
    part = Box.whole(shape).overlap(Box.whole(more))
    np.testing.assert_array_equal(values[part], values[: more[0], : more[1], : more[2]])


@given(BOXES, STEPS)
def test_shifted(box, by):
    np.testing.assert_array_equal(voxels(box.shifted(by)), np.roll(voxels(box), by, (0, 1, 2)))


@given(BOXES, MORE, MORE)
def test_grown(box, below, above):
    grown = box.grown(below, above)
    assert grown[0].start == box[0].start - below[0]
    assert grown[2].stop == box[2].stop + above[2]
    whole = np.argwhere(voxels(grown)) - FAR
    near = (whole >= np.subtract(box.low, below)) & (whole < np.add(box.high, above))
    assert near.all()
    assert grown.shape == tuple(np.add(box.shape, below) + above)
    assert grown.grown([-n for n in below], [-n for n in above]) == box


@given(BOXES, MORE, MORE, BOXES)
def test_grown_as_far_as_another_box_reaches(box, below, above, outer):
    grown = box.grown(below, above, inside=outer)
    np.testing.assert_array_equal(voxels(grown), voxels(box.grown(below, above)) & voxels(outer))


@given(BOXES, BOXES)
def test_overlap(one, other):
    both = one.overlap(other)
    np.testing.assert_array_equal(voxels(both), voxels(one) & voxels(other))
    assert min(both.shape) >= 0
    assert both.size == (voxels(one) & voxels(other)).sum()


@given(BOXES, MORE, MORE)
def test_within_finds_the_same_voxels_in_what_was_cut_out(box, below, above):
    values = np.arange((3 * FAR) ** 3).reshape((3 * FAR,) * 3)
    moved, wide = box.shifted((FAR,) * 3), box.shifted((FAR,) * 3).grown(below, above)
    np.testing.assert_array_equal(values[wide][moved.within(wide)], values[moved])


@given(BOXES)
def test_voxels_are_all_that_it_holds_in_order(box):
    assert box.voxels() == [tuple(voxel) for voxel in (np.argwhere(voxels(box)) - FAR).tolist()]
    assert Box(box.z, slice(1, 1), box.x).voxels() == []


@given(BOXES, BOXES)
def test_lies_in(box, outer):
    assert box.lies_in(outer) == (not (voxels(box) & ~voxels(outer)).any())
    empty = Box(slice(box[0].start, box[0].start), box[1], box[2])
    assert not empty.lies_in(box)


@given(SHAPES, SHAPES)
def test_scaled_covers_what_its_voxels_are_made_of(shape, factors):
    fine = np.arange(np.prod(np.multiply(shape, factors))).reshape(np.multiply(shape, factors))
    corner = fine[:: factors[0], :: factors[1], :: factors[2]]
    box = Box.whole(shape).grown((0, -1, 0), (0, 0, 0)) if shape[1] > 1 else Box.whole(shape)
    part = fine[box.scaled(factors)]
    np.testing.assert_array_equal(part[:: factors[0], :: factors[1], :: factors[2]], corner[box])
    assert part.shape == tuple(np.multiply(box.shape, factors))


@given(SHAPES, SHAPES)
def test_tiles_cover_a_volume_once(count, shape):
    seen = np.zeros(np.multiply(count, shape), int)
    for number, place in enumerate(np.ndindex(count), 1):
        tile = Box.tile(place, shape)
        assert tile.shape == shape
        seen[tile] += number
    np.testing.assert_array_equal(seen, np.kron(np.arange(1, np.prod(count) + 1).reshape(count), np.ones(shape, int)))


@given(BOXES, MORE, MORE)
def test_middle(box, below, above):
    wide = box.grown(below, above)
    found = wide.middle(box.shape)
    assert found.shape == box.shape
    assert found.lies_in(wide)
    before, after = np.subtract(found.low, wide.low), np.subtract(wide.high, found.high)
    assert np.isin(after - before, (0, 1)).all()


@given(BOXES)
def test_text(box):
    assert str(box) == ",".join(f"{axis.start}:{axis.stop}" for axis in box)
    if min(box.low) >= 0:
        assert Box.parse(str(box), box.high) == box


@pytest.mark.parametrize(
    ("text", "box"),
    [
        (None, (4, 5, 6)),
        (":,:,:", (4, 5, 6)),
        ("1:,:3, 2 : 5 ", np.s_[1:4, 0:3, 2:5]),
        ("0:4,0:5,0:6", (4, 5, 6)),
    ],
)
def test_parse(text, box):
    assert Box.parse(text, (3, 4, 5, 6)) == (box if isinstance(box[0], slice) else Box.whole(box))


@pytest.mark.parametrize("text", ["", ":", ":,:", ":,:,:,:", "a:b,:,:", "-1:2,:,:", "1,2,3", "0:1:2,:,:", "0.5:2,:,:"])
def test_what_is_no_box_is_refused(text):
    with pytest.raises(InputError, match=r"a box is z0:z1,y0:y1,x0:x1 .*, not"):
        Box.parse(text or "x", (4, 5, 6))


@pytest.mark.parametrize("text", ["4:,:,:", "2:2,:,:", "3:2,:,:", ":,:6,:", ":,:,0:7"])
def test_boxes_that_are_empty_or_leave_the_volume_are_refused(text):
    with pytest.raises(InputError, match=r"is empty or leaves the volume of shape \(4, 5, 6\)"):
        Box.parse(text, (3, 4, 5, 6))


def test_a_triple_has_three_values():
    assert triple(iter([1, 2, 3])) == (1, 2, 3)
    for values in ([1, 2], [1, 2, 3, 4]):
        with pytest.raises(ValueError, match="values to unpack"):
            triple(values)

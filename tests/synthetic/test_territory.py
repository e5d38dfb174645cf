"""The fields of the synthetic tissue against their naive twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clew.space import Box
from clew.synthetic.grid import Grid, average_slices, make_grid, middle_slices, refine, refine_owners
from clew.synthetic.territory import REACH, Territory, Tube, box_around, distance_to
from naive import synthetic as naive

places = st.tuples(*[st.integers(-20, 110)] * 3).map(lambda place: np.array(place, float))
tubes = st.builds(Tube, places, places, st.integers(5, 60).map(float), st.integers(5, 60).map(float))


def empty_territory(shape, voxel_size):
    grid = make_grid(shape, voxel_size)
    return Territory(grid, np.zeros(grid.shape, np.float32))


def all_cells(grid):
    return np.stack(
        np.meshgrid(*[(np.arange(n) + 0.5) * s for n, s in zip(grid.shape, grid.step, strict=True)], indexing="ij"), -1
    )


@given(tubes)
@settings(max_examples=25, deadline=None)
def test_distance_to_a_tube_is_that_of_the_naive_twin(tube):
    grid = make_grid((10, 12, 8), (10.0, 10.0, 30.0))
    box = box_around(tube, 30.0, grid)
    if box is None:
        return
    found = distance_to(tube, box, grid)
    centres = all_cells(grid)[box]
    wanted = [
        naive.distance_to_tube(tube.start, tube.end, tube.start_radius, tube.end_radius, centre)
        for centre in centres.reshape(-1, 3)
    ]
    np.testing.assert_allclose(found.ravel(), wanted, atol=0.05)


@given(st.tuples(*[st.integers(-60, 60)] * 3).filter(any), st.integers(1, 9), st.integers(1, 9))
def test_a_tube_is_as_deep_on_its_axis_as_it_is_thick(way, before, behind):
    """Also where rounding makes the square of the distance to the axis a little less than 0."""
    grid = make_grid((40, 40, 40), (10.0, 10.0, 10.0))
    cell = Box.tile((10, 10, 10), (1, 1, 1))
    tube = Tube(210.0 - before * np.array(way), 210.0 + behind * np.array(way), 10.0, 10.0)
    assert distance_to(tube, cell, grid).item() == pytest.approx(-10, abs=0.5)


@given(tubes, st.sampled_from([0.0, 25.0]))
@settings(max_examples=25, deadline=None)
def test_box_holds_every_cell_within_the_margin(tube, margin):
    grid = make_grid((14, 10, 12), (10.0, 10.0, 10.0))
    box = box_around(tube, margin, grid)
    near = np.zeros(grid.shape, bool)
    whole = Box.whole(grid.shape)
    near[...] = distance_to(tube, whole, grid) < margin - 1e-3
    if box is not None:
        near[box] = False
    assert not near.any()


@given(st.lists(st.tuples(st.integers(1, 4), tubes, st.sampled_from([0.7, 1.0, 1.5])), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_claims_keep_the_two_nearest_neurites(claims):
    territory = empty_territory((10, 8, 8), (10.0, 10.0, 10.0))
    grid = territory.grid
    cells = {cell: naive.Cell(REACH) for cell in np.ndindex(*grid.shape)}
    for name, tube, vigour in claims:
        territory.claim(name, tube, 0.0, vigour)
        box = box_around(tube, min(REACH, 60 + tube.start_radius), grid)
        if box is None:
            continue
        distances = distance_to(tube, box, grid)
        corner = [edge.start for edge in box]
        for place in np.ndindex(*distances.shape):
            distance = float(distances[place])
            cell = tuple(int(low + step) for low, step in zip(corner, place, strict=True))
            cells[cell].claim(name, distance / vigour if distance > 0 else distance)
    for cell, twin in cells.items():
        nearest, second = twin.two_nearest(REACH)
        assert territory.nearest[cell] == pytest.approx(nearest, abs=1e-3)
        assert min(territory.second[cell], REACH) == pytest.approx(min(second, REACH), abs=1e-3)
        owner = int(territory.owner[cell])
        assert twin.distances[owner] == pytest.approx(nearest, abs=1e-3)


@given(
    arrays(np.int32, (3, 2, 4), elements=st.integers(1, 3)),
    arrays(np.float32, (3, 2, 4), elements=st.integers(0, 40).map(float)),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
@settings(max_examples=30, deadline=None)
def test_refined_owners_are_those_of_the_naive_twin(owner, gap, double):
    size = tuple(10.0 if fine else 20.0 for fine in double)
    shape = tuple(length * (2 if fine else 1) for length, fine in zip(owner.shape, double, strict=True))
    found_owner, found_gap = refine_owners(owner, gap, make_grid(shape, size))
    wanted_owner, wanted_gap = naive.refine_owners(owner, gap, double)
    np.testing.assert_allclose(found_gap, wanted_gap, atol=1e-4)
    clear = wanted_gap > 1e-3
    np.testing.assert_array_equal(found_owner[clear], wanted_owner[clear])


def test_pieces_of_one_neurite_get_ids_of_their_own():
    """Crumbs join a neighbour, but of each neurite something stays."""
    territory = empty_territory((8, 8, 24), (10.0, 10.0, 10.0))
    wanted = np.full(territory.grid.shape, 1)
    territory.owner[:], wanted[:, :, 7:] = 2, 2
    territory.owner[:, :, 5:7], wanted[:, :, 5:7] = 7, 3
    territory.owner[0, 0, 0] = 7
    territory.owner[2, 2, 9:11], wanted[2, 2, 9:11] = 7, 4
    territory.owner[3, 3, 11], wanted[3, 3, 11] = 9, 5
    territory.give_ids(smallest=2)
    np.testing.assert_array_equal(territory.owner, wanted)


def test_free_cells_go_to_the_owner_that_is_nearest_in_nanometres():
    territory = empty_territory((8, 16, 16), (40.0, 4.0, 4.0))
    assert territory.grid.step == (20.0, 8.0, 8.0)
    territory.owner[0], territory.owner[:, 0] = 1, 2
    territory.settle()
    assert territory.owner[1, 2, 0] == 2
    assert territory.owner[1, 3, 0] == 1


def test_of_two_equal_tubes_the_later_has_the_inside_and_the_earlier_the_space_around():
    territory = empty_territory((20, 20, 20), (10.0, 10.0, 10.0))
    tube = Tube(np.full(3, 100.0), np.full(3, 120.0), 30.0, 30.0)
    territory.claim(1, tube, 0.0, 1.0)
    outside = territory.nearest > 0
    claimed = territory.owner == 1
    territory.claim(2, tube, 0.0, 1.0)
    assert (territory.owner[claimed & outside] == 1).all()
    assert (territory.owner[~outside] == 2).all()


def test_a_thin_tube_claims_less_space_around_it_than_a_thick_one():
    for radius, reach in ((10.0, 70.0), (60.0, REACH)):
        territory = empty_territory((4, 4, 80), (10.0, 10.0, 10.0))
        territory.claim(1, Tube(np.full(3, 20.0), np.full(3, 20.0), radius, radius), 0.0, 1.0)
        claimed = np.flatnonzero(territory.owner[1, 1]).max() * 20
        assert claimed <= 20 + radius + reach <= claimed + 40


def test_the_lead_is_that_over_the_rival_up_to_twice_the_reach():
    territory = empty_territory((16, 16, 16), (10.0, 10.0, 10.0))
    territory.nearest[0], territory.nearest[1] = -30.0, -500.0
    np.testing.assert_array_equal(territory.lead()[:3, 0, 0], [REACH + 30, 2 * REACH, 0])


def test_a_plane_is_refined_to_a_plane_that_is_level_at_its_ends():
    grid = make_grid((16, 20, 20), (10.0, 10.0, 10.0))
    ramp = all_cells(grid)[..., 1].astype(np.float32)
    fine = refine(ramp, grid)
    assert fine.shape == (16, 20, 20)
    np.testing.assert_allclose(fine[3, :, 5], np.clip(np.arange(20) * 10 + 5, 10, 190), atol=1e-3)


def test_cells_are_neither_too_large_nor_too_thick():
    assert make_grid((16, 17, 18), (14.0, 14.1, 30.0)) == Grid(
        (8, 17, 36), (28.0, 14.1, 15.0), (True, False, False), (1, 1, 2), (16, 17, 18)
    )


def test_thick_sections_are_averaged_from_slices():
    grid = make_grid((16, 17, 18), (40.0, 4.0, 4.0))
    assert grid.slices == (2, 1, 1)
    assert grid.shape == (32, 9, 9)
    slices = np.arange(32, dtype=np.float32)[:, None, None] * np.ones((1, 17, 18), np.float32)
    np.testing.assert_allclose(average_slices(slices, grid)[:, 0, 0], np.arange(16) * 2 + 0.5)
    np.testing.assert_allclose(middle_slices(slices, grid)[:, 0, 0], np.arange(16) * 2 + 1)


pipes = st.builds(lambda start, end, radius: Tube(start, end, radius, radius), places, places, st.floats(20, 60))


@given(st.lists(pipes, min_size=2, max_size=4))
@settings(max_examples=30, deadline=None)
def test_the_lead_is_small_beside_a_border(pipes):
    territory = empty_territory((20, 16, 16), (5.0, 5.0, 5.0))
    for name, pipe in enumerate(pipes, start=1):
        territory.claim(name, pipe, 0.0, 1.0)
    lead = np.where(territory.nearest < 50, territory.lead(), 0)
    for axis in range(3):
        owners, leads = np.moveaxis(territory.owner, axis, 0), np.moveaxis(lead, axis, 0)
        border = (owners[1:] != owners[:-1]) & (owners[1:] > 0) & (owners[:-1] > 0)
        assert np.maximum(leads[1:], leads[:-1])[border].max(initial=0) <= 2 * territory.grid.step[axis] + 0.01

"""How two neurites, of which everything is known, are drawn."""

import numpy as np
import pytest

from clew.synthetic.grid import make_grid
from clew.synthetic.options import SyntheticOptions
from clew.synthetic.organelles import Organelles
from clew.synthetic.rendering import MEMBRANE_GREY, SYNAPSE_GREY, draw_appearance, render
from clew.synthetic.territory import Territory, Tube

NM = (10.0, 10.0, 10.0)
PLAIN = SyntheticOptions(texture=0, membrane=25)


def halves(shape, voxel_size, axis, border):
    """Neurite 1 up to a border across an axis, in nm, and neurite 2 behind it; no organelles."""
    grid = make_grid(shape, voxel_size)
    territory = Territory(grid, np.zeros(grid.shape, np.float32))
    behind = (np.indices(grid.shape)[axis] + 0.5) * grid.step[axis] - border
    territory.owner[:] = 1 + (behind > 0)
    territory.nearest, territory.second = -np.abs(behind), np.abs(behind)
    return Organelles(territory)


def drawn(organelles, voxel_size, options=PLAIN):
    return render(organelles, organelles.territory.grid, voxel_size, options, np.random.default_rng(0))


def greys():
    """Of neurites 1 and 2."""
    return draw_appearance(2, PLAIN, np.random.default_rng(0)).grey[1:]


def test_neurites_have_greys_of_their_own_and_a_membrane_between():
    image, owner, mitochondria = drawn(halves((16, 16, 64), NM, 2, 320), NM)
    one, two = greys()
    assert abs(one - two) > 5
    membrane = np.exp(-((5 / 12.5) ** 2))
    for x, grey, share in ((0, one, 0), (31, one, membrane), (32, two, membrane), (63, two, 0)):
        np.testing.assert_allclose(image[:, :, x], grey + share * (MEMBRANE_GREY - grey), atol=0.1)
    np.testing.assert_array_equal(owner[0, 0], np.repeat([1, 2], 32))
    assert not mitochondria.any()


def test_a_synapse_is_dark_but_no_darker_than_its_grey():
    organelles = halves((16, 16, 64), NM, 2, 320)
    organelles.put(organelles.synapses, Tube(np.array([80, 80, 300]), np.array([80, 80, 340]), 40.0, 40.0), 140)
    image, _, _ = drawn(organelles, NM)
    assert image.min() == pytest.approx(SYNAPSE_GREY, abs=0.5)


def test_a_thick_section_shows_the_mean_of_what_lies_in_it():
    size = (400.0, 10.0, 10.0)
    image, owner, _ = drawn(halves((16, 16, 16), size, 0, 8.5 * 400), size)
    one, two = greys()
    np.testing.assert_allclose(image[:, 0, 0], [*[one] * 8, (one + two) / 2, *[two] * 7], atol=5)
    np.testing.assert_array_equal(owner[:, 0, 0], np.repeat([1, 2], 8))


def test_speckle_is_as_coarse_along_each_axis_in_nanometres():
    size = (5.0, 10.0, 10.0)
    image, _, _ = drawn(halves((64, 64, 64), size, 2, 0), size, SyntheticOptions(texture=1))
    part = image[:, :, 20:] - image[:, :, 20:].mean()
    for one, other in ((part[4:], part[:-4]), (part[:, 2:], part[:, :-2])):
        assert np.mean(one * other) / part.var() == pytest.approx(0.6, abs=0.1), "20 nm apart"

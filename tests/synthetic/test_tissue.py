"""How neurites grow, and where organelles are put."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from clew.synthetic.grid import make_grid
from clew.synthetic.neurites import FULL, MOST_BRANCHES, grow_tissue
from clew.synthetic.options import SyntheticOptions
from clew.synthetic.organelles import FAR, RIM, Organelles, place_organelles
from clew.synthetic.territory import Territory, Tube

OPTIONS = SyntheticOptions(roughness=0)


def grown(options=OPTIONS, edge=80):
    grid = make_grid((edge, edge, edge), (10.0, 10.0, 10.0))
    territory = Territory(grid, np.zeros(grid.shape, np.float32))
    return territory, grow_tissue(territory, options, np.random.default_rng(0))


@pytest.fixture(scope="module")
def tissue():
    return grown()


def starts_of(neurite):
    return Counter(tuple(tube.start) for tube in neurite.tubes)


def test_neurites_fill_the_volume_and_get_thinner(tissue):
    territory, neurites = tissue
    assert (territory.nearest > 0.6 * OPTIONS.thinnest).mean() < 2 * FULL
    assert [neurite.id for neurite in neurites] == list(range(1, len(neurites) + 1))
    thickness = [max(tube.start_radius for tube in neurite.tubes) for neurite in neurites if neurite.tubes]
    assert np.mean(thickness[:5]) > 1.5 * np.mean(thickness[-5:])
    assert max(thickness) < 0.5 * territory.grid.extent.min()
    assert min(thickness) >= OPTIONS.thinnest / 2


def test_walks_are_unbroken_and_their_steps_as_long_as_they_are_thick(tissue):
    _, neurites = tissue
    for neurite in neurites:
        known = {tuple(neurite.tubes[0].start)} if neurite.tubes else set()
        for tube in neurite.tubes:
            assert tuple(tube.start) in known
            known.add(tuple(tube.end))
            assert np.linalg.norm(tube.end - tube.start) == pytest.approx(max(40, 0.9 * tube.start_radius))


def test_a_walk_goes_both_ways_and_branches_no_more_than_it_may(tissue):
    _, neurites = tissue
    assert sum(starts_of(neurite)[tuple(neurite.tubes[0].start)] > 1 for neurite in neurites if neurite.tubes) > 3
    _, straight = grown(replace(OPTIONS, branching=0))
    _, bushy = grown(replace(OPTIONS, branching=50))
    for found, most in ((straight, 0), (bushy, MOST_BRANCHES)):
        forks = [sum(starts_of(neurite).values()) - len(starts_of(neurite)) for neurite in found if neurite.tubes]
        assert max(forks) <= most + 1
    assert max(forks) > 2


def test_walks_keep_off_each_other(tissue):
    """Later neurites carve earlier ones, but hardly."""
    territory, neurites = tissue
    whole = Territory(territory.grid, territory.relief)
    taken = 0
    for neurite in neurites:
        for tube in neurite.tubes:
            before = whole.owner.copy(), whole.nearest < 0
            whole.claim(neurite.id, tube, 0.0, 1.0)
            taken += np.count_nonzero((whole.owner != before[0]) & before[1])
    assert taken < 0.1 * whole.owner.size


def test_what_is_covered_already_is_not_gained_again():
    grid = make_grid((40, 40, 40), (10.0, 10.0, 10.0))
    territory = Territory(grid, np.zeros(grid.shape, np.float32))
    territory.owner[:, :, 10:] = 1
    territory.second[:] = territory.nearest[:] = 0
    territory.second[:, :, 10:] = 20 * (1 + np.arange(10))
    territory.second[:, :, :9] = 200  # deep inside the neighbour
    organelles = Organelles(territory)
    body = Tube(np.full(3, 200.0), np.array([200.0, 200.0, 260.0]), 90.0, 90.0)
    gained = organelles.put(organelles.mitochondria, body, 40, 1, RIM)
    inside = organelles.mitochondria < 0
    assert gained == np.count_nonzero(inside) > 0
    assert not inside[:, :, :10].any()
    assert (territory.lead()[inside] / 2 > RIM).all()
    assert organelles.put(organelles.mitochondria, body, 40, 1, RIM) == 0


def test_organelles_take_their_share_and_no_more(tissue):
    territory, neurites = tissue
    for share in (0.0, 0.02):
        options = replace(OPTIONS, mitochondria=share)
        organelles = place_organelles(territory, neurites, options, np.random.default_rng(0))
        found = (organelles.mitochondria < 0).mean()
        assert share <= found <= 2.5 * share


def test_what_is_switched_off_is_not_there(tissue):
    nothing = replace(OPTIONS, mitochondria=0, organelles=0, synapses=0, texture=0)
    organelles = place_organelles(*tissue, nothing, np.random.default_rng(0))
    for name in ("mitochondria", "vesicles", "microtubules", "synapses"):
        assert (getattr(organelles, name) == FAR).all(), name


def test_synapses_lie_on_borders_and_are_as_many_as_asked_for(tissue):
    territory, _ = tissue
    options = replace(OPTIONS, synapses=40)
    organelles = place_organelles(*tissue, options, np.random.default_rng(0))
    covered = organelles.synapses < 0
    volume = np.prod(territory.grid.extent) / 1e9
    assert 0.3 < covered.sum() * 20**3 / 1e9 / (40 * volume * 4 / 3 * np.pi * 0.03**3) < 4
    assert territory.lead()[covered].mean() < 0.7 * territory.lead().mean()


def test_thin_neurites_hold_no_mitochondria():
    territory, neurites = grown(replace(OPTIONS, thinnest=100, thickest=100), edge=50)
    organelles = place_organelles(territory, neurites, OPTIONS, np.random.default_rng(0))
    assert (organelles.mitochondria == FAR).all()

"""A fragment divided: as the slow twin says, whatever box is read, and with the region graph of the divided fragments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import InputError
from clew.proofreading.pieces import divide, divided_graph
from clew.segmentation.growth import grow_points
from clew.segmentation.pieces import find_fragment
from clew.segmentation.region_graph import RegionGraph, build_region_graph
from clew.space import Box
from naive import proofreading as naive

SEEDS = st.integers(0, 2**32 - 1)


def random_volume(seed: int):
    """Fragments named as clew names them, but for their connectivity, and affinities with many ties."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 7, 3))
    fragments = rng.integers(0, rng.integers(2, 5), shape).astype(np.uint64)
    for number in np.unique(fragments[fragments > 0]):
        fragments[fragments == number] = 10**6 + np.flatnonzero(fragments == number)[0]
    fragments[fragments > 0] -= np.uint64(10**6 - 1)
    distinct = int(rng.choice([1, 2, 3, 256]))
    affinities = (rng.integers(0, distinct, (3, *shape)) * (255 // max(distinct - 1, 1))).astype(np.uint8)
    return rng, fragments, affinities if distinct > 1 else affinities + np.uint8(255)


def chosen_points(rng: np.random.Generator, inside: np.ndarray):
    voxels = np.argwhere(inside)
    points = voxels[rng.permutation(len(voxels))[: rng.integers(2, 6)]]
    return [tuple(point) for point in points.tolist()], rng.integers(0, 2, len(points)).tolist()


def divided(fragments, affinities, points, sides):
    """Divide the fragment at the first point, from the box that it needs."""
    fragment = int(fragments[points[0]])
    size = int((fragments == fragment).sum())
    box, around = find_fragment(lambda part: fragments[part], fragment, size, points[0], fragments.shape)
    return divide(
        affinities[(slice(None), *box)], around, box, fragments.shape, points, sides, others=np.unique(fragments)
    )


def assert_same_graph(found: RegionGraph, wanted: RegionGraph):
    for name in ("fragments", "sizes", "edges", "starts", "bins", "counts"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)


@given(SEEDS)
@settings(max_examples=200, deadline=None)
def test_pieces_equal_the_naive_twin(seed: int):
    rng, fragments, affinities = random_volume(seed)
    sizes = {int(fragment): int((fragments == fragment).sum()) for fragment in np.unique(fragments[fragments > 0])}
    if max(sizes.values(), default=0) < 2:
        return
    inside = fragments == max(sizes, key=sizes.__getitem__)
    points, sides = chosen_points(rng, inside)
    made = divided(fragments, affinities, points, sides)
    shown = fragments.copy()
    made.show(shown, Box.whole(fragments.shape))
    expected = np.where(inside, naive.pieces(affinities, inside, points, sides), fragments)
    np.testing.assert_array_equal(shown, expected)
    assert [made.piece_at(point) for point in points] == [expected[point] for point in points]


@given(SEEDS)
@settings(max_examples=100, deadline=None)
def test_the_graph_is_that_of_the_divided_fragments(seed: int):
    """Fragments are divided several times, pieces of earlier divisions too."""
    rng, fragments, affinities = random_volume(seed)
    graph, divisions = build_region_graph(affinities, fragments), []
    for _ in range(4):
        ids, counts = np.unique(fragments[fragments > 0], return_counts=True)
        if not (counts > 1).any():
            break
        points, sides = chosen_points(rng, fragments == rng.choice(ids[counts > 1]))
        divisions.append(divided(fragments, affinities, points, sides))
        divisions[-1].show(fragments, Box.whole(fragments.shape))
        assert_same_graph(divided_graph(graph, divisions), build_region_graph(affinities, fragments))


def dumbbell(bridge: int):
    """Two balls of radius 6 with a bridge of one voxel between them."""
    inside = np.zeros((13, 13, 26 + bridge), bool)
    z, y, x = np.indices(inside.shape)
    for centre in (6, 19 + bridge):
        inside |= (z - 6) ** 2 + (y - 6) ** 2 + (x - centre) ** 2 <= 36
    inside[6, 6, 6 : 20 + bridge] = True
    return inside


@pytest.mark.parametrize("bridge", [0, 3, 8])
@pytest.mark.parametrize("off", [0, 5])
def test_a_dumbbell_of_255_is_shared_by_distance(bridge: int, off: int):
    inside = dumbbell(bridge)
    ends = np.ravel_multi_index([(6, 6), (6, 6), (6 - off, 19 + bridge)], inside.shape)
    owners = grow_points(np.full((3, *inside.shape), 255, np.uint8), inside, np.sort(ends), np.arange(2))
    counts = np.bincount(owners[inside])
    assert counts.min() > inside.sum() / 2 - 100 * (off > 0) - 5


def test_points_in_noise_share_a_fragment_all_the_same():
    """Each point lies in a pit: at its own strength everything else is the other's."""
    rng, inside = np.random.default_rng(0), np.ones((9, 9, 30), bool)
    affinities = rng.integers(230, 256, (3, *inside.shape), np.uint8)
    affinities[:, 4, 4, 3:5] = affinities[:, 4:6, 4:6, 4] = 229
    ends = np.ravel_multi_index([(4, 4), (4, 4), (4, 26)], inside.shape)
    assert np.bincount(grow_points(affinities, inside, ends, np.arange(2)).ravel()).min() > inside.sum() / 3


def test_a_membrane_is_the_border_wherever_points_lie():
    inside = np.ones((9, 9, 40), bool)
    affinities = np.random.default_rng(0).integers(200, 256, (3, *inside.shape), np.uint8)
    affinities[2, :, :, 30] = 60
    ends = np.ravel_multi_index([(0, 4), (0, 4), (0, 32)], inside.shape)
    owners = grow_points(affinities, inside, ends, np.arange(2))
    assert (owners[:, :, :30] == 0).all()
    assert (owners[:, :, 30:] == 1).all()


def test_ids_that_are_taken_are_not_given_again():
    fragments = np.array([[[3, 3, 3, 3, 2, 1]]], np.uint64)
    made = divided(fragments, np.full((3, 1, 1, 6), 255, np.uint8), [(0, 0, 0), (0, 0, 3)], [0, 1])
    assert made.pieces.tolist() == [[[4, 4, 6, 6]]]


def test_a_voxel_on_two_sides_is_refused():
    with pytest.raises(InputError, match="both sides"):
        divided(np.ones((1, 1, 3), np.uint64), np.full((3, 1, 1, 3), 255, np.uint8), [(0, 0, 1)] * 2, [0, 1])


def test_a_fragment_is_found_with_all_its_voxels_or_not_at_all():
    fragments = np.zeros((3, 200, 5), np.uint64)
    fragments[1, 2:190, 2] = fragments[0, 0, 0] = 7
    read = []
    box, around = find_fragment(lambda part: read.append(part) or fragments[part], 7, 189, (1, 2, 2), fragments.shape)
    assert (box.low, box.high) == ((0, 0, 0), (3, 191, 4))
    np.testing.assert_array_equal(around, fragments[box])
    with pytest.raises(InputError, match="189 voxels in the volume and 190"):
        find_fragment(lambda part: fragments[part], 7, 190, (1, 2, 2), fragments.shape)

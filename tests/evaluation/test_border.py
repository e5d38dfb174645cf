import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clew.errors import InputError
from clew.evaluation.border import away_from_borders, border_agreement, mask_borders
from clew.synthetic.volume import synthesize
from clew.training.targets import grow_boundaries
from naive import evaluation as naive

SHAPE = st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9))


@settings(deadline=None)
@given(
    SHAPE.flatmap(lambda s: arrays(np.uint64, s, elements=st.sampled_from([1] * 12 + [0, 2, 2**63]))),
    st.sampled_from([(40, 4, 4), (8, 8, 8), (30, 5, 10), (30, 10, 5)]),
    st.sampled_from([0, 4, 8, 16, 25, 1000]),
)
def test_masked_borders_equal_their_naive_twin(truth, voxel_size, distance):
    found = mask_borders(truth, voxel_size, distance)
    np.testing.assert_array_equal(found, naive.mask_borders(truth, voxel_size, distance))


def test_borders_of_a_section_do_not_depend_on_its_neighbours():
    truth = np.ones((2, 3, 30), np.uint64)
    truth[1] = 2
    np.testing.assert_array_equal(mask_borders(truth, (40, 4, 4)), truth)
    truth[0, :, 15:] = 3
    masked = mask_borders(truth, (40, 4, 4))
    assert np.flatnonzero(masked[0, 1] == 0).tolist() == list(range(8, 22))
    np.testing.assert_array_equal(masked[1], truth[1])


def test_bad_input_is_refused():
    truth = np.ones((1, 2, 2), int)
    with pytest.raises(InputError, match="voxel_size"):
        mask_borders(truth, (4, 4))
    with pytest.raises(InputError, match="voxel_size"):
        mask_borders(truth, (40, 0, 4))
    with pytest.raises(InputError, match="distance"):
        mask_borders(truth, (40, 4, 4), -1)
    with pytest.raises(InputError, match="negative"):
        mask_borders(-truth, (40, 4, 4))


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 5)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([(40, 4, 4), (8, 8, 8), (30, 5, 10)]),
    st.sampled_from([0, 4, 8, 16, 25, 1000]),
)
def test_voxels_away_from_borders_equal_their_naive_twin(shape, seed, voxel_size, distance):
    rng = np.random.default_rng(seed)
    truth = rng.choice(np.array([1] * 8 + [0, 2, 2**63], np.uint64), shape)
    truth[rng.random(shape[0]) < 0.4] = 0
    found = away_from_borders(truth, voxel_size, distance)
    np.testing.assert_array_equal(found, naive.away_from_borders(truth, voxel_size, distance))


def test_a_border_does_not_reach_over_a_section_nobody_annotated():
    truth = np.ones((4, 1, 6), np.uint64)
    truth[0, 0, 3:] = 2
    truth[1] = 0
    assert away_from_borders(truth, (8, 8, 8), 17.0)[2:].all()
    truth[1] = 1
    assert not away_from_borders(truth, (8, 8, 8), 17.0)[2].all()


def test_unannotated_voxels_are_no_border():
    truth = np.zeros((4, 9, 9), np.uint64)
    truth[1] = 1
    assert away_from_borders(truth, (8, 8, 8), 100.0).sum() == 81
    with pytest.raises(InputError, match="distance"):
        away_from_borders(truth, (8, 8, 8), -1)


def test_membranes_of_0_are_borders_as_where_neurons_touch():
    truth = synthesize((24, 48, 48), seed=3).labels
    eroded = grow_boundaries(truth, 1)
    for distance in (20.0, 25.0, 35.0):
        wanted = away_from_borders(truth, (10, 10, 10), distance)
        np.testing.assert_array_equal(away_from_borders(eroded, (10, 10, 10), distance), wanted)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_agreement_of_borders_equals_its_naive_twin(seed, repeats):
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, 4, (4, 6, 6)), np.ones((2, 3, repeats), int))
    segments = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 9, truth.shape))
    known, borders, found, both = 0, 0, 0, 0
    for here in np.ndindex(truth.shape):
        for axis in range(3):
            there = tuple(place + (n == axis) for n, place in enumerate(here))
            if there[axis] == truth.shape[axis] or not truth[here] or not truth[there]:
                continue
            known += 1
            borders += truth[here] != truth[there]
            found += segments[here] != segments[there]
            both += truth[here] != truth[there] and segments[here] != segments[there]
    expected = both * known / (borders * found) if min(borders, found) >= 1000 else np.nan
    np.testing.assert_allclose(border_agreement(segments, truth), expected)


def test_truth_of_another_place_agrees_as_by_chance():
    truth = np.kron(np.arange(1, 1001).reshape(10, 10, 10), np.ones((4, 4, 4), int))
    fragments = np.kron(np.arange(8000).reshape(20, 20, 20), np.ones((2, 2, 2), int))
    assert border_agreement(fragments, truth) > 1.9
    other = np.random.default_rng(0).permutation(truth.ravel()).reshape(truth.shape)
    assert border_agreement(fragments, other) == pytest.approx(1, abs=0.02)
    assert np.isnan(border_agreement(fragments[:1], truth[:1]))

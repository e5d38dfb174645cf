import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clew.errors import InputError
from clew.training.targets import affinity_targets, grow_boundaries, split_components
from naive import targets as naive

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6))
LABELS = SHAPES.flatmap(lambda s: arrays(np.uint64, s, elements=st.sampled_from([0, 1, 1, 1, 2, 2**63 + 1])))
STEP = st.integers(-4, 4)


@st.composite
def masked_labels(draw):
    labels = draw(LABELS)
    return labels, draw(st.none() | arrays(bool, labels.shape))


@settings(deadline=None)
@given(masked_labels(), st.lists(st.tuples(STEP, STEP, STEP), min_size=1, max_size=4))
def test_affinity_targets_equal_their_naive_twin(volume, offsets):
    labels, mask = volume
    for found, wanted in zip(
        affinity_targets(labels, offsets, mask), naive.affinity_targets(labels, offsets, mask), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


def test_a_pair_and_its_mirror_hold_the_same_targets():
    labels = np.random.default_rng(0).integers(0, 3, (4, 5, 6))
    targets, valid = affinity_targets(labels, [(-1, 0, 2), (1, 0, -2)])
    np.testing.assert_array_equal(targets[0, 1:, :, :-2], targets[1, :-1, :, 2:])
    np.testing.assert_array_equal(valid[0, 1:, :, :-2], valid[1, :-1, :, 2:])


@settings(deadline=None)
@given(masked_labels(), st.integers(0, 3), st.booleans())
def test_grown_boundaries_equal_their_naive_twin(volume, steps, per_section):
    labels, mask = volume
    found = grow_boundaries(labels, steps, per_section, mask)
    np.testing.assert_array_equal(found, naive.grow_boundaries(labels, steps, per_section, mask))


@pytest.mark.parametrize("per_section", [False, True])
def test_boundaries_grow_around_what_nobody_annotated(per_section):
    """Objects large enough that the second step has a way, and holes that leave it only one."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (3, 4, 4)).repeat(2, 0).repeat(3, 1).repeat(3, 2).astype(np.uint64)
    mask = rng.random(labels.shape) < 0.7
    for steps in (1, 2, 3):
        found = grow_boundaries(labels, steps, per_section, mask)
        np.testing.assert_array_equal(found, naive.grow_boundaries(labels, steps, per_section, mask))


def test_the_border_of_the_volume_is_no_boundary():
    labels = np.ones((5, 5, 5), np.uint64)
    np.testing.assert_array_equal(grow_boundaries(labels, 3), labels)


def test_objects_that_touch_are_apart_by_two_steps():
    labels = np.ones((1, 1, 12), np.uint64)
    labels[..., 6:] = 2
    np.testing.assert_array_equal(grow_boundaries(labels, 2)[0, 0], [1, 1, 1, 1, 0, 0, 0, 0, 2, 2, 2, 2])


@settings(deadline=None)
@given(LABELS)
def test_components_equal_their_naive_twin(labels):
    np.testing.assert_array_equal(split_components(labels), naive.split_components(labels))


def test_components_of_a_larger_random_volume():
    labels = np.random.default_rng(1).integers(0, 3, (12, 13, 14))
    np.testing.assert_array_equal(split_components(labels), naive.split_components(labels))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full((2, 2, 2), 0.5, np.float32), "whole numbers"),
        (np.full((2, 2, 2), -7), "negative"),
        (np.zeros((2, 2), np.uint64), r"\(z, y, x\)"),
        (np.zeros((0, 2, 2), np.uint64), "at least one voxel"),
    ],
)
def test_bad_labels_are_refused(labels, message):
    for function in (split_components, lambda v: affinity_targets(v, [(-1, 0, 0)]), lambda v: grow_boundaries(v, 1)):
        with pytest.raises(InputError, match=message):
            function(labels)


def test_bad_offsets_mask_and_steps_are_refused():
    labels = np.zeros((2, 2, 2), np.uint64)
    with pytest.raises(InputError, match="offsets"):
        affinity_targets(labels, [(1, 0)])
    with pytest.raises(InputError, match="mask and labels"):
        affinity_targets(labels, [(1, 0, 0)], np.ones((1, 2, 2), bool))
    with pytest.raises(InputError, match="steps"):
        grow_boundaries(labels, -1)

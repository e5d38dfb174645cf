"""Interior voxels and capped distances against their slow twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from clew.kernels import boundary, distance
from naive import fragments as naive

SHAPES = arrays.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7)


@settings(max_examples=100, deadline=None)
@given(arrays.arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 1, 1, 1])), st.integers(1, 6), st.booleans())
def test_capped_distance(interior, cap, per_section):
    expected = naive.capped_distance(interior, cap, per_section)
    np.testing.assert_array_equal(distance.capped_distance(interior, cap, per_section), expected)


@pytest.mark.compiled
@pytest.mark.parametrize("cap", [16, 128])
def test_distance_is_the_euclidean_one_up_to_the_cap(cap):
    interior = (np.random.default_rng(0).random((20, 40, 530)) > 0.0005).astype(np.uint8)
    exact = np.rint(ndimage.distance_transform_edt(interior) ** 2)
    np.testing.assert_array_equal(distance.capped_distance(interior, cap, False), np.minimum(exact, cap * cap))


@settings(max_examples=100, deadline=None)
@given(
    arrays.arrays(np.uint8, SHAPES.map(lambda shape: (3, *shape)), elements=st.sampled_from([0, 100, 127, 128, 255])),
    st.sampled_from([0.0, 0.5, 100 / 255, 1.0]),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_interior_voxels(levels, threshold, seed, per_section):
    mask = np.random.default_rng(seed).random(levels.shape[1:]) < 0.8
    limits = np.array([-1, *(int(np.floor(round(threshold * 255 * pairs, 9))) for pairs in (1, 2, 3))])
    expected = naive.interior(levels, mask, threshold, per_section)
    found = boundary.interior_voxels(levels, mask.view(np.uint8), limits, per_section)
    np.testing.assert_array_equal(found, expected)

"""Window maxima and seed voxels against their slow twins."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from clew.kernels import seeds
from naive import fragments as naive

VALUES = arrays.arrays(
    np.uint16, arrays.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=8), elements=st.integers(0, 5)
)


@settings(max_examples=150, deadline=None)
@given(VALUES, st.sampled_from([1, 3, 5, 7, 11, 17]), st.booleans())
def test_window_maximum_and_seeds(values, window, per_section):
    largest = naive.window_maximum(values, window, per_section)
    np.testing.assert_array_equal(seeds.window_maximum(values, window, per_section), largest)
    np.testing.assert_array_equal(seeds.seed_voxels(values, window, per_section), (values == largest) & (values > 0))


def test_wide_volume():
    values = np.random.default_rng(0).integers(0, 2**16, (5, 6, 1100), dtype=np.uint16)
    np.testing.assert_array_equal(seeds.window_maximum(values, 11, False), ndimage.maximum_filter(values, 11))

"""Coarser scales: how voxels become one, and where the scales lie."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import InputError
from clew.volumes.pyramid import Scale, coarser_scales, pool
from naive import downsample as naive


@settings(max_examples=200)
@given(
    st.tuples(*[st.integers(1, 7)] * 3), st.tuples(*[st.integers(1, 3)] * 3),
    st.sampled_from([np.uint8, np.uint16, np.uint32, np.uint64]), st.integers(1, 255), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_pool_equals_its_twin(shape, factors, dtype, largest, seed):
    values = np.random.default_rng(seed).integers(0, largest, shape, endpoint=True).astype(dtype)
    if dtype == np.uint64:
        values *= np.uint64(2**56)
    np.testing.assert_array_equal(pool(values, factors), naive.pool(values, factors))


def test_values_that_are_neither_image_nor_labels_are_refused():
    with pytest.raises(InputError, match="not float32"):
        pool(np.zeros((2, 2, 2), np.float32), (2, 2, 2))


def test_thick_sections_are_halved_in_the_plane_first():
    scales = coarser_scales(Scale((100, 1000, 999), (40.0, 4.0, 4.0), (0.0, 8.0, 0.0)))
    assert [scale.shape for scale in scales] == [
        (100, 500, 500), (100, 250, 250), (100, 125, 125), (50, 63, 63)
    ]  # fmt: skip
    assert [scale.voxel_size for scale in scales] == [(40, 8, 8), (40, 16, 16), (40, 32, 32), (80, 64, 64)]
    assert scales[0].offset == (0, 10, 2)
    assert scales[1].offset == (0, 14, 6)
    assert scales[3].factors == (2, 2, 2)
    assert scales[3].offset == (20, 38, 30)


def test_small_volumes_and_single_sections_end():
    assert coarser_scales(Scale((64, 64, 64), (8.0, 8.0, 8.0), (0.0, 0.0, 0.0))) == []
    assert coarser_scales(Scale((1, 1, 200), (4.0, 4.0, 8.0), (0.0, 0.0, 0.0)))[-1].shape == (1, 1, 50)

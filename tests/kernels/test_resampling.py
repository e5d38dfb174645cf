import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clew.kernels.resampling import fill_field
from clew.training import device_resampling
from clew.training.augmentation import sample_labels, sample_raw
from naive import resampling as naive

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6))
QUARTERS = st.integers(-40, 40).map(lambda number: np.float32(number / 4))
CENTERS = st.tuples(*[st.integers(-6, 12).map(lambda number: number / 2)] * 3).map(np.array)


@st.composite
def fields(draw):
    return draw(arrays(np.float32, (3, *draw(SHAPES)), elements=QUARTERS))


@given(arrays(np.uint8, SHAPES), fields(), CENTERS)
def test_raw_equals_its_naive_twin(volume, field, center):
    found = sample_raw(volume, center, field.shape[1:], field)
    np.testing.assert_allclose(found, naive.sample_linear(volume, field, center), atol=1e-3)


@given(arrays(np.uint32, SHAPES), fields(), CENTERS, st.data())
def test_labels_and_mask_equal_their_naive_twins(volume, field, center, data):
    mask = data.draw(arrays(bool, volume.shape))
    shape = tuple(size - 2 * data.draw(st.integers(0, (size - 1) // 2)) for size in field.shape[1:])
    labels, inside = sample_labels(volume, mask, center, shape, field)
    np.testing.assert_array_equal(labels, naive.sample_nearest(volume, field, center, shape))
    np.testing.assert_array_equal(inside, naive.sample_nearest(mask, field, center, shape))


@given(arrays(np.uint32, SHAPES), fields(), CENTERS)
def test_a_field_on_a_device_gives_the_same_crop(labels, field, center):
    raw, mask, shape = labels.astype(np.uint8), labels % 2 == 0, tuple(max(1, size - 2) for size in field.shape[1:])
    there = torch.from_numpy(field)
    found, wanted = (sample_raw(raw, center, field.shape[1:], some) for some in (there, field))
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    for found, wanted in zip(
        *(sample_labels(labels, mask, center, shape, some) for some in (there, field)), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == wanted.dtype


@given(arrays(np.uint8, SHAPES), SHAPES, CENTERS)
def test_a_plain_cut_is_the_resampling_by_a_field_that_moves_nothing(volume, shape, center):
    center = np.floor(center) + (np.array(shape) - 1) / 2
    axes = [np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2) for size in shape]
    field = np.stack(np.meshgrid(*axes, indexing="ij"))
    np.testing.assert_allclose(sample_raw(volume, center, shape, None), sample_raw(volume, center, shape, field))
    mask = volume > 100
    plain, resampled = (sample_labels(volume, mask, center, shape, some) for some in (None, field))
    np.testing.assert_array_equal(plain, resampled)


@given(SHAPES, st.integers(1, 5), st.integers(0, 99))
def test_a_field_is_the_product_of_its_factors(shape, terms, seed):
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(size=(3, *shape[:2], terms)).astype(np.float32)
    basis = rng.normal(size=(terms, shape[2])).astype(np.float32)
    field = fill_field(coefficients, basis)
    np.testing.assert_allclose(field, naive.fill_field(coefficients, basis), atol=1e-5)
    np.testing.assert_allclose(device_resampling.fill_field(coefficients, basis, "cpu"), field, atol=1e-5)


def test_coordinates_stay_exact_far_from_the_origin():
    volume = np.zeros((1, 1, 300_000), np.uint8)
    volume[..., 250_001] = 200
    field = np.zeros((3, 1, 1, 1), np.float32)
    field[2] = 0.625
    assert sample_raw(volume, np.array([0, 0, 250_000.0]), (1, 1, 1), field) == 125

import numpy as np
import pytest

from clew.kernels.malis import _sort_bucket


@pytest.mark.parametrize("size", [2, 40, 300, 6000])
@pytest.mark.parametrize("levels", [1, 3, 900, 2**12, 2**30])
def test_buckets_are_sorted_and_equal_keys_stay_in_order(size, levels):
    rng = np.random.default_rng(size)
    edges = np.sort(rng.choice(2**32, size, replace=False)).astype(np.uint64)
    records = (rng.integers(0, levels, size, np.uint64) << np.uint64(32)) | edges
    wanted = np.sort(records)
    _sort_bucket(records, np.empty_like(records), np.empty(1024, np.int64))
    np.testing.assert_array_equal(records, wanted)


@pytest.mark.parametrize("size", [30, 6000])
def test_first_and_last_record_may_have_one_key(size):
    keys = np.zeros(size, np.uint64)
    keys[1:-1] = np.random.default_rng(0).integers(0, 2**30, size - 2)
    records = (keys << np.uint64(32)) | np.arange(size, dtype=np.uint64)
    wanted = np.sort(records)
    _sort_bucket(records, np.empty_like(records), np.empty(1024, np.int64))
    np.testing.assert_array_equal(records, wanted)

"""Ids as files have them: whole numbers of any type, exact, or refused."""

import numpy as np
import pytest

from clew.arrays import as_ids
from clew.errors import InputError
from clew.labels import FIRST_SPECIAL, as_truth, special_ids

IDS = np.array([[[0, 1, 5], [200, 7, 1]]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64, np.float16, np.float32, np.float64, ">f4", ">i8"])
def test_whole_numbers_of_any_type_are_ids(dtype):
    for read in (as_ids, as_truth):
        found = read(IDS.astype(dtype), "labels")
        assert found.dtype == np.uint64
        np.testing.assert_array_equal(found, IDS)


@pytest.mark.parametrize(("dtype", "limit"), [(np.float16, 2**11), (np.float32, 2**24), (np.float64, 2**53)])
def test_floats_that_run_together_are_refused(dtype, limit):
    np.testing.assert_array_equal(as_ids(np.array([limit - 1], dtype), "labels"), [limit - 1])
    with pytest.raises(InputError, match=f"from {limit} on neighbouring ids are one number"):
        as_ids(np.array([limit + 1], dtype), "labels")


@pytest.mark.parametrize("value", [1.5, np.nan, np.inf, -np.inf])
def test_floats_that_are_no_ids_are_refused(value):
    with pytest.raises(InputError, match="fractions, NaN or infinite"):
        as_truth(np.array([[[1, value]]], np.float32), "labels")


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.float32])
def test_nobody_annotated_what_is_minus_1_to_3(dtype):
    labels = np.array([[[4, -1, -2, -3, 0]]], dtype)
    found = as_truth(labels, "labels")
    assert found[0, 0].tolist() == [4, 2**64 - 1, 2**64 - 2, 2**64 - 3, 0]
    np.testing.assert_array_equal(special_ids(labels), found >= FIRST_SPECIAL)
    with pytest.raises(InputError, match="must not be negative"):
        as_truth(np.array([[[1, -4]]], dtype), "labels")
    with pytest.raises(InputError, match="must not be negative"):
        as_ids(labels, "segmentation")


@pytest.mark.parametrize("largest", [2**53 + 1, 2**60 + 1, 2**63 + 1, 2**64 - 4])
def test_large_ids_stay_as_they_are(largest):
    assert int(as_truth(np.array([[[largest]]], np.uint64), "labels")[0, 0, 0]) == largest

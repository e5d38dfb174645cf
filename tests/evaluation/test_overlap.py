import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clew.errors import InputError
from clew.evaluation import overlap
from clew.evaluation.overlap import OverlapTable, merge_tables, overlap_table, relabel_table
from naive import evaluation as naive

IDS = st.sampled_from([0, 1, 2, 3, 2**32, 2**32 + 1, 2**63, 2**64 - 1])


@st.composite
def volumes(draw):
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 6)))
    return draw(arrays(np.uint64, shape, elements=IDS)), draw(arrays(np.uint64, shape, elements=IDS))


def as_counter(table):
    pairs = zip(table.segments.tolist(), table.truths.tolist(), table.counts.tolist(), strict=True)
    return {(segment, truth): count for segment, truth, count in pairs}


@settings(deadline=None)
@given(volumes())
def test_table_equals_its_naive_twin_and_is_sorted(pair):
    table = overlap_table(*pair)
    assert as_counter(table) == naive.overlaps(*pair)
    assert list(as_counter(table)) == sorted(as_counter(table))


@pytest.mark.parametrize("largest", [60, 2**64 - 1])
def test_a_table_grows_over_many_pairs(largest):
    rng = np.random.default_rng(0)
    segmentation, truth = rng.integers(0, largest, (2, 10, 30, 40), np.uint64)
    truth[:, ::5] = 5
    assert as_counter(overlap_table(segmentation, truth)) == naive.overlaps(segmentation, truth)


def test_one_id_may_meet_many():
    """All pairs have one id in common: what is found in the table must have the other one too."""
    one, many = np.full((2, 30, 40), 7, np.uint64), np.random.default_rng(0).integers(1, 2**64, (2, 30, 40), np.uint64)
    assert as_counter(overlap_table(one, many)) == naive.overlaps(one, many)
    assert as_counter(overlap_table(many, one)) == naive.overlaps(many, one)


def test_slabs_and_dtypes_do_not_matter(monkeypatch):
    segmentation, truth = np.random.default_rng(0).integers(0, 5, (2, 7, 5, 6))
    whole = as_counter(overlap_table(segmentation, truth))
    monkeypatch.setattr(overlap, "_SLAB", 60)
    assert as_counter(overlap_table(segmentation.astype(np.uint8), truth.astype(">i4"))) == whole
    assert as_counter(overlap_table(segmentation.tolist(), np.asfortranarray(truth))) == whole


@given(volumes())
def test_tables_of_blocks_add_up(pair):
    whole = as_counter(overlap_table(*pair))
    assert (
        as_counter(merge_tables([overlap_table(*(v[z : z + 1] for v in pair)) for z in range(len(pair[0]))])) == whole
    )


def test_relabelled_table_equals_the_table_of_the_relabelled_volume():
    rng = np.random.default_rng(0)
    fragments, truth = rng.integers(0, 30, (5, 6, 7)), rng.integers(0, 4, (5, 6, 7))
    ids = rng.permutation(np.arange(1, 30))
    lookup = rng.integers(0, 6, ids.shape)
    segments = np.zeros(30, np.int64)
    segments[ids] = lookup
    table = relabel_table(overlap_table(fragments, truth), ids, lookup)
    assert as_counter(table) == naive.overlaps(segments[fragments], truth)


def test_relabelling_refuses_unknown_segments_and_unequal_lists():
    table = OverlapTable(np.array([0, 7], np.uint64), np.array([1, 1], np.uint64), np.array([2, 3]))
    with pytest.raises(InputError, match="segment 7 is not among them"):
        relabel_table(table, [], [])
    with pytest.raises(InputError, match="one length"):
        relabel_table(table, [7], [1, 2])


@pytest.mark.parametrize(
    ("segmentation", "truth", "message"),
    [
        (np.zeros((2, 2, 2), int), np.zeros((2, 2, 3), int), "one shape"),
        (np.full((2, 2, 2), 0.5), np.zeros((2, 2, 2), int), "segmentation must be whole numbers"),
        (np.zeros((2, 2, 2), int), np.full((2, 2, 2), -4), "truth must not be negative"),
        (np.zeros((0, 2, 2), int), np.zeros((0, 2, 2), int), "at least one voxel"),
        (np.zeros((2, 2), int), np.zeros((2, 2), int), r"\(z, y, x\)"),
    ],
)
def test_bad_volumes_are_refused(segmentation, truth, message):
    with pytest.raises(InputError, match=message):
        overlap_table(segmentation, truth)
    with pytest.raises(InputError, match="at least one table"):
        merge_tables([])

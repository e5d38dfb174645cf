"""The rows of segments: those of a plain count, whole and in blocks."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from clew.export.properties import segment_properties
from clew.export.segment_table import SegmentRows, join_rows, larger_rows, segment_rows
from clew.space import triple

LABELS = arrays(np.uint64, array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.sampled_from([0, 3, 7, 2**63]))


@given(LABELS)
def test_rows_are_those_of_a_plain_count(labels: np.ndarray):
    rows = segment_rows(labels, (5, 6, 7))
    assert rows.ids.tolist() == sorted(set(labels.ravel().tolist()) - {0})
    for id, voxels, low, high, point, run in zip(*rows, strict=True):
        where = np.argwhere(labels == id) + np.array((5, 6, 7))
        assert voxels == len(where)
        assert low.tolist() == where.min(0).tolist()
        assert high.tolist() == (where.max(0) + 1).tolist()
        z, y, x = point - (5, 6, 7)
        assert labels[z, y, x] == id
        assert (labels[z, y, x - run // 2 : x - run // 2 + run] == id).all()


@given(LABELS, st.tuples(*[st.integers(1, 5)] * 3))
def test_blocks_give_the_rows_of_the_whole(labels: np.ndarray, cut: tuple[int, int, int]):
    parts = []
    for z in (slice(0, cut[0]), slice(cut[0], None)):
        for y in (slice(0, cut[1]), slice(cut[1], None)):
            for x in (slice(0, cut[2]), slice(cut[2], None)):
                parts.append(segment_rows(np.ascontiguousarray(labels[z, y, x]), triple(s.start for s in (z, y, x))))
    joined, whole = join_rows(parts), segment_rows(labels)
    for name in ("ids", "voxels", "low", "high"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
    np.testing.assert_array_equal(labels[tuple(joined.points.T)], joined.ids)


def test_small_segments_are_left_out():
    assert larger_rows(segment_rows(np.array([[[1, 1, 2, 0, 1]]], np.uint64)), 2).ids.tolist() == [1]


def test_properties_are_numbers_that_neuroglancer_sorts_by():
    found = segment_properties(segment_rows(np.array([[[1, 1, 2**63]]], np.uint64)), (1000, 1000, 100))
    assert found["inline"]["ids"] == ["1", str(2**63)]
    voxels, volume = found["inline"]["properties"]
    assert (voxels["data_type"], voxels["values"], volume["values"]) == ("uint32", [2, 1], [0.2, 0.1])
    rows = segment_rows(np.array([[[1]]], np.uint64))
    large = SegmentRows(*rows)._replace(voxels=np.array([1 << 32]))
    assert segment_properties(large, (8, 8, 8))["inline"]["properties"][0]["data_type"] == "float32"

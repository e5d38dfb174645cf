"""The segments of a label volume: their voxels, boxes, and a point inside each."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.labels import Labels
from clew.space import Triple


class SegmentRows(NamedTuple):
    """A row for each segment, in the order of their ids.

    Parameters
    ----------
    ids : (n,) uint64
        Ascending, without 0.
    voxels : (n,) int64
        Voxels of the segment.
    low, high : (n, 3) int64
        First voxel (z, y, x) of its box, and the one after the last.
    points : (n, 3) int64
        A voxel (z, y, x) of the segment: the middle of its longest run along x.
    runs : (n,) int64
        Voxels of that run.
    """

    ids: NDArray[np.uint64]
    voxels: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    points: NDArray[np.int64]
    runs: NDArray[np.int64]


def segment_rows(labels: Labels, corner: Triple = (0, 0, 0)) -> SegmentRows:
    """The segments of a label volume, or of a block of one.

    Parameters
    ----------
    labels : (z, y, x) uint64
        0 for none.
    corner : (z, y, x) ints
        Where the first voxel lies in the whole volume; boxes and points are counted from there.

    Returns
    -------
    SegmentRows
        Those of blocks, joined by `join_rows`, are those of the whole, but for the points: a run ends at the border of a block.
    """
    begins = np.ones(labels.shape, bool)
    np.not_equal(labels[..., 1:], labels[..., :-1], out=begins[..., 1:])
    first = np.flatnonzero(begins)
    ids = labels.reshape(-1)[first]
    lengths = np.diff(first, append=labels.size)
    first, ids, lengths = first[ids > 0], ids[ids > 0], lengths[ids > 0]
    low = np.stack(np.unravel_index(first, labels.shape), 1) + np.array(corner)
    along = np.array((0, 0, 1))
    high, points = low + 1 + along * (lengths - 1)[:, None], low + along * (lengths // 2)[:, None]
    return _grouped(SegmentRows(ids, lengths, low, high, points, lengths))


def join_rows(parts: Sequence[SegmentRows]) -> SegmentRows:
    """Join the rows of the blocks of a volume into those of the whole."""
    return _grouped(SegmentRows._make(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def larger_rows(rows: SegmentRows, least: int) -> SegmentRows:
    """The rows of segments of at least so many voxels."""
    kept = rows.voxels >= least
    return SegmentRows._make(column[kept] for column in rows)


def _grouped(rows: SegmentRows) -> SegmentRows:
    """One row for each id, with the point in its longest run; of equals the first."""
    order = np.lexsort((*rows.points.T[::-1], -rows.runs, rows.ids))
    rows = SegmentRows._make(column[order] for column in rows)
    ids, first = np.unique(rows.ids, return_index=True)
    if not len(ids):
        return rows
    return SegmentRows(
        ids, np.add.reduceat(rows.voxels, first), np.minimum.reduceat(rows.low, first),
        np.maximum.reduceat(rows.high, first), rows.points[first], rows.runs[first],
    )  # fmt: skip

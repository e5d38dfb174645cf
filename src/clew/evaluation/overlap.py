"""The overlap table, of which all scores are sums.

It counts the voxels of every pair (segment, true object).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clew.arrays import as_array, as_counts, as_ids, is_array
from clew.errors import InputError
from clew.kernels.overlap import count_pairs, new_table
from clew.labels import Labels, check_label_kind, check_same_shape

_SLAB = 2**24
"""Voxels read and converted at once."""


@dataclass(frozen=True)
class OverlapTable:
    """Number of annotated voxels of every pair (segment, true object).

    Rows are sorted by segment, then by object.

    Parameters
    ----------
    segments : (pairs,) uint64
        Ids in the segmentation; 0 is a segment like any other.
    truths : (pairs,) uint64
        Ids in the truth, never 0.
    counts : (pairs,) int64
        Voxels of each pair.

    Examples
    --------
    >>> table = clew.overlap_table(np.array([[[5, 5, 6]]]), np.array([[[1, 1, 1]]]))
    >>> table.segments.tolist(), table.truths.tolist(), table.counts.tolist()
    ([5, 6], [1, 1], [2, 1])
    """

    segments: Labels
    truths: Labels
    counts: NDArray[np.int64]


def overlap_table(segmentation: Any, truth: Any) -> OverlapTable:
    """Count the voxels of every pair (segment, true object).

    Voxels of truth 0 are left out. Exact at block borders: tables of blocks add up with `merge_tables`.

    Parameters
    ----------
    segmentation, truth : (z, y, x) whole numbers
        Of any size: arrays, or anything that is sliced like one (it is read slab by slab).

    Returns
    -------
    OverlapTable

    Raises
    ------
    InputError
        If the shapes differ, or ids are negative or not whole numbers.

    Examples
    --------
    >>> segmentation = np.array([[[5, 5, 6, 6]]])
    >>> truth = np.array([[[1, 1, 1, 0]]])
    >>> clew.overlap_table(segmentation, truth).counts
    array([2, 1])
    """
    table = new_table()
    for _, segments, truths in slabs(segmentation, truth):
        table = count_pairs(segments, truths, table)
    return sum_pairs(*table.pairs)


def relabel_table(table: OverlapTable, ids: ArrayLike, lookup: ArrayLike) -> OverlapTable:
    """Table of the segmentation in which segment `ids[i]` becomes `lookup[i]`.

    One pass over the voxels of the fragments serves the segmentations at all thresholds. Segment 0 stays 0 unless it is
    among the ids.

    Parameters
    ----------
    table : OverlapTable
        Overlap of fragments with the truth.
    ids : (fragments,) whole numbers
        Ids in any order, each once.
    lookup : (fragments,) whole numbers
        New id of each.

    Returns
    -------
    OverlapTable

    Raises
    ------
    InputError
        If a segment of the table is not among the ids.
    """
    old, new = as_ids(ids, "ids"), as_ids(lookup, "lookup")
    if old.ndim != 1 or old.shape != new.shape:
        raise InputError(f"ids and lookup must be lists of one length, not of shapes {old.shape} and {new.shape}")
    if not (old == 0).any():
        old, new = np.append(old, np.uint64(0)), np.append(new, np.uint64(0))
    table = checked_table(table)
    order = np.argsort(old)
    positions = np.searchsorted(old, table.segments, sorter=order)
    positions = order[np.minimum(positions, len(old) - 1)]
    missing = table.segments[old[positions] != table.segments]
    if missing.size:
        raise InputError(f"ids must hold every segment of the table, but segment {missing[0]} is not among them")
    return sum_pairs(new[positions], table.truths, table.counts)


def checked_table(table: OverlapTable) -> OverlapTable:
    """Check an overlap table: arrays of one length, whole numbers, counts above 0."""
    segments, truths = as_ids(table.segments, "segments"), as_ids(table.truths, "truths")
    counts = as_counts(table.counts, "counts", 1)
    if not segments.shape == truths.shape == counts.shape:
        shapes = f"{segments.shape}, {truths.shape} and {counts.shape}"
        raise InputError(
            f"an overlap table needs a segment, an object and a count for each pair, not arrays of {shapes}"
        )
    return OverlapTable(segments, truths, counts)


def merge_tables(tables: Iterable[OverlapTable]) -> OverlapTable:
    """Add the tables of several blocks into one."""
    parts = [checked_table(table) for table in tables]
    if not parts:
        raise InputError("merge_tables needs at least one table")
    return sum_pairs(*(np.concatenate([getattr(t, name) for t in parts]) for name in ("segments", "truths", "counts")))


def sum_pairs(segments: Labels, truths: Labels, counts: NDArray[np.int64]) -> OverlapTable:
    """Sort pairs and add up equal ones."""
    order = np.lexsort((truths, segments))
    segments, truths, counts = segments[order], truths[order], counts[order]
    first = np.ones(len(order), bool)
    first[1:] = (segments[1:] != segments[:-1]) | (truths[1:] != truths[:-1])
    starts = np.flatnonzero(first)
    totals = np.add.reduceat(counts, starts) if len(starts) else counts
    return OverlapTable(segments[starts], truths[starts], totals)


def slabs(segmentation: Any, truth: Any) -> Iterator[tuple[int, Labels, Labels]]:
    """Both volumes slab by slab, checked: (first section, uint64 ids, uint64 ids)."""
    segmentation, truth = _sliceable(segmentation, "segmentation"), _sliceable(truth, "truth")
    check_label_kind(segmentation, "segmentation")
    check_label_kind(truth, "truth")
    check_same_shape(segmentation, truth, ("segmentation", "truth"))
    sections = max(1, _SLAB // (truth.shape[1] * truth.shape[2]))
    for start in range(0, truth.shape[0], sections):
        part = slice(start, start + sections)
        yield start, as_ids(segmentation[part], "segmentation"), as_ids(truth[part], "truth")


def _sliceable(volume: Any, name: str) -> Any:
    return volume if is_array(volume) else as_array(volume, name)

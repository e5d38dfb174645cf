"""The overlap table: voxels per pair (segment, true object). All scores are sums over it."""

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
    """Voxels per pair (segment, true object), of the annotated voxels; sorted by segment, then object.

    Parameters
    ----------
    segments
        (pairs,) uint64 ids in the segmentation; 0 is a segment like any other.
    truths
        (pairs,) uint64 ids in the truth, never 0.
    counts
        (pairs,) int64 voxels.
    """

    segments: Labels
    truths: Labels
    counts: NDArray[np.int64]


def overlap_table(segmentation: Any, truth: Any) -> OverlapTable:
    """Count the voxels of every pair (segment, true object); voxels of truth 0 are left out.

    Exact at block borders: tables of blocks add up with `merge_tables`.

    Parameters
    ----------
    segmentation, truth
        (z, y, x) whole numbers of any size, arrays or anything sliced like one (read slab by slab).

    Raises
    ------
    InputError
        If the shapes differ, or ids are negative or not whole numbers.
    """
    table = new_table()
    for _, segments, truths in slabs(segmentation, truth):
        table = count_pairs(segments, truths, table)
    return sum_pairs(*table.pairs)


def relabel_table(table: OverlapTable, ids: ArrayLike, lookup: ArrayLike) -> OverlapTable:
    """Table of the segmentation in which each segment `ids[i]` is called `lookup[i]`.

    One pass over the voxels of the fragments serves the segmentations at all thresholds. Segment 0 stays 0 unless
    named.

    Parameters
    ----------
    table
        Overlap of fragments with the truth.
    ids
        (fragments,) ids, in any order, without repeats.
    lookup
        (fragments,) new id of each.

    Raises
    ------
    InputError
        If a segment of the table is not among the ids.
    """
    names, new_names = as_ids(ids, "ids"), as_ids(lookup, "lookup")
    if names.ndim != 1 or names.shape != new_names.shape:
        raise InputError(
            f"ids and lookup must be lists of one length, not of shapes {names.shape} and {new_names.shape}"
        )
    if not (names == 0).any():
        names, new_names = np.append(names, np.uint64(0)), np.append(new_names, np.uint64(0))
    table = checked_table(table)
    order = np.argsort(names)
    slots = np.searchsorted(names, table.segments, sorter=order)
    slots = order[np.minimum(slots, len(names) - 1)]
    strangers = table.segments[names[slots] != table.segments]
    if strangers.size:
        raise InputError(f"ids must name every segment of the table, but segment {strangers[0]} is missing")
    return sum_pairs(new_names[slots], table.truths, table.counts)


def checked_table(table: OverlapTable) -> OverlapTable:
    """The same table; an InputError where it is none."""
    segments, truths = as_ids(table.segments, "segments"), as_ids(table.truths, "truths")
    counts = as_counts(table.counts, "counts", 1)
    if not segments.shape == truths.shape == counts.shape:
        shapes = f"{segments.shape}, {truths.shape} and {counts.shape}"
        raise InputError(f"an overlap table needs a segment, an object and a count for each pair, not shapes {shapes}")
    return OverlapTable(segments, truths, counts)


def merge_tables(tables: Iterable[OverlapTable]) -> OverlapTable:
    """Table of several blocks together."""
    parts = [checked_table(table) for table in tables]
    if not parts:
        raise InputError("merge_tables needs at least one table")
    return sum_pairs(*(np.concatenate([getattr(t, name) for t in parts]) for name in ("segments", "truths", "counts")))


def sum_pairs(segments: Labels, truths: Labels, counts: NDArray[np.int64]) -> OverlapTable:
    """Sort pairs and add up those that are equal."""
    order = np.lexsort((truths, segments))
    segments, truths, counts = segments[order], truths[order], counts[order]
    first = np.ones(len(order), bool)
    first[1:] = (segments[1:] != segments[:-1]) | (truths[1:] != truths[:-1])
    starts = np.flatnonzero(first)
    totals = np.add.reduceat(counts, starts) if len(starts) else counts
    return OverlapTable(segments[starts], truths[starts], totals)


def slabs(segmentation: Any, truth: Any) -> Iterator[tuple[int, Labels, Labels]]:
    """Both volumes slab by slab, checked, as (first section, uint64, uint64)."""
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

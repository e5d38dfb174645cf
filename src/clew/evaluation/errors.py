"""Where a segmentation is wrong: the splits and merges that cost most."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clew.arrays import as_whole
from clew.errors import InputError
from clew.evaluation.overlap import OverlapTable, checked_table, slabs
from clew.evaluation.scores import check_annotated, object_sizes, segment_sizes
from clew.kernels.overlap import Extents, extents_of, measure_pairs
from clew.space import Lengths, Triple, triple


@dataclass(frozen=True)
class LabelError:
    """A true object that fell apart, or a segment that holds several objects.

    Parameters
    ----------
    kind : "split" or "merge"
    label : int
        The id of the true object of a split, or of the segment of a merge.
    parts : tuple of int
        Ids of the segments of the split object, or of the true objects in the merged segment, largest first.
    voxels : tuple of int
        Voxels of each part.
    bits : float
        Share of voi_split or of voi_merge; over all errors of a kind they add up to it.
    """

    kind: Literal["split", "merge"]
    label: int
    parts: tuple[int, ...]
    voxels: tuple[int, ...]
    bits: float

    def pair(self, part: int) -> tuple[int, int]:
        """The ids (segment, true object) of the part at an index of `parts`."""
        return (self.parts[part], self.label) if self.kind == "split" else (self.label, self.parts[part])


@dataclass(frozen=True)
class Location:
    """Where the voxels of a pair (segment, true object) lie, in voxels (z, y, x).

    Parameters
    ----------
    voxels : int
        How many there are. Where there are none the other values mean nothing.
    centroid : (z, y, x) floats
        Their mean.
    low, high : (z, y, x) ints
        Their bounding box, from low up to but without high.
    """

    voxels: int
    centroid: Lengths
    low: Triple
    high: Triple


def largest_errors(table: OverlapTable, number: int = 10) -> tuple[list[LabelError], list[LabelError]]:
    """The splits and merges that cost the most variation of information.

    Parameters
    ----------
    table : OverlapTable
        Overlap of a segmentation with the truth.
    number : int
        How many of each kind, at most.

    Returns
    -------
    splits, merges : list of LabelError
        The costliest first; of equal ones the smaller label first.

    Raises
    ------
    InputError
        If the table is empty.

    Examples
    --------
    >>> table = clew.overlap_table(np.array([[[5, 5, 6, 6]]]), np.array([[[1, 1, 1, 2]]]))
    >>> splits, merges = clew.largest_errors(table)
    >>> splits[0].label, splits[0].parts, splits[0].voxels
    (1, (5, 6), (2, 1))
    >>> merges[0].label, merges[0].parts
    (6, (1, 2))
    """
    table, number = checked_table(table), as_whole(number, "number")
    check_annotated(table)
    splits = _costliest("split", table.truths, table.segments, table.counts, object_sizes(table), number)
    merges = _costliest("merge", table.segments, table.truths, table.counts, segment_sizes(table), number)
    return splits, merges


def locate_errors(segmentation: Any, truth: Any, errors: Sequence[LabelError], part: int = 1) -> list[Location]:
    """Find where errors are, in one pass over both volumes.

    Parameters
    ----------
    segmentation, truth : (z, y, x) whole numbers
        As given to `overlap_table`.
    errors : sequence of LabelError
        What `largest_errors` found.
    part : int
        Index of the part to look for: by default the second largest, which was split off or wrongly joined.

    Returns
    -------
    list of Location
        One for each error.

    Raises
    ------
    InputError
        If the shapes differ, ids are negative or not whole numbers, or an error has no such part.

    Examples
    --------
    >>> segmentation, truth = np.array([[[5, 5, 6, 6]]]), np.array([[[1, 1, 1, 2]]])
    >>> splits, _ = clew.largest_errors(clew.overlap_table(segmentation, truth))
    >>> clew.locate_errors(segmentation, truth, splits)[0].low
    (0, 0, 2)
    """
    if any(not 0 <= part < len(error.parts) for error in errors):
        raise InputError(f"part must be an index into the parts of every error (0 is the largest part), not {part}")
    return locate_pairs(segmentation, truth, [error.pair(part) for error in errors])


def locate_pairs(segmentation: Any, truth: Any, places: Sequence[tuple[int, int]]) -> list[Location]:
    """Find where pairs (segment, true object) are, in one pass over both volumes."""
    pairs = np.array(places, np.uint64).reshape(-1, 2)
    wanted, index = np.unique(pairs, axis=0, return_inverse=True)
    table, found = extents_of(wanted)
    for start, segments, objects in slabs(segmentation, truth):
        measure_pairs(segments, objects, start, table, found)
    return [_location(found, n) for n in index.ravel().tolist()]


def _costliest(
    kind: Literal["split", "merge"],
    labels: NDArray[np.uint64],
    parts: NDArray[np.uint64],
    counts: NDArray[np.int64],
    sizes: NDArray[np.float64],
    number: int,
) -> list[LabelError]:
    ids, which = np.unique(labels, return_inverse=True)
    cost = np.bincount(which, weights=counts * np.log2(sizes / counts)) / counts.sum()
    several = np.bincount(which) > 1
    order = [i for i in np.argsort(-cost, kind="stable") if several[i]][:number]
    errors = []
    for i in order:
        rows = np.flatnonzero(which == i)
        rows = rows[np.argsort(-counts[rows], kind="stable")]
        errors.append(
            LabelError(kind, int(ids[i]), tuple(parts[rows].tolist()), tuple(counts[rows].tolist()), float(cost[i]))
        )
    return errors


def _location(found: Extents, pair: int) -> Location:
    voxels = int(found.voxels[pair])
    center, low, high = found.sums[pair] / max(voxels, 1), found.low[pair], found.high[pair] + 1
    return Location(voxels, triple(center.tolist()), triple(low.tolist()), triple(high.tolist()))

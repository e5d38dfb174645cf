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
from clew.space import Lengths, Triple


@dataclass(frozen=True)
class LabelError:
    """A true object that fell apart, or a segment that holds several objects.

    Parameters
    ----------
    kind
        "split" or "merge".
    label
        The true object of a split, the segment of a merge.
    parts
        The segments of the split object, or the true objects in the merged segment, largest first.
    voxels
        Voxels of each part.
    bits
        Share of voi_split or of voi_merge; over all errors of a kind they add up to it.
    """

    kind: Literal["split", "merge"]
    label: int
    parts: tuple[int, ...]
    voxels: tuple[int, ...]
    bits: float

    def pair(self, part: int) -> tuple[int, int]:
        """(segment, true object) of the part of that number."""
        return (self.parts[part], self.label) if self.kind == "split" else (self.label, self.parts[part])


@dataclass(frozen=True)
class Location:
    """Where the voxels of a pair (segment, true object) lie, in voxels (z, y, x).

    Parameters
    ----------
    voxels
        How many there are; 0 if none, and then the rest says nothing.
    centroid
        Their mean.
    low, high
        Their bounding box, from low up to but without high.
    """

    voxels: int
    centroid: Lengths
    low: Triple
    high: Triple


def largest_errors(table: OverlapTable, number: int = 10) -> tuple[list[LabelError], list[LabelError]]:
    """The splits and the merges that contribute most to the variation of information.

    Parameters
    ----------
    table
        Overlap of a segmentation with the truth.
    number
        How many of each kind, at most.

    Returns
    -------
    splits, merges
        The costliest first; of equal ones the smaller label first.

    Raises
    ------
    InputError
        If the table is empty.
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
    segmentation, truth
        (z, y, x), as given to `overlap_table`.
    errors
        What `largest_errors` found.
    part
        Which part to look for: by default the second largest, the piece that was split off or wrongly joined.

    Returns
    -------
    One location per error.

    Raises
    ------
    InputError
        If the shapes differ, ids are negative or not whole numbers, or an error has no such part.
    """
    if any(not 0 <= part < len(error.parts) for error in errors):
        raise InputError(f"part must be the number of a part of every error, not {part}")
    pairs = np.array([error.pair(part) for error in errors], np.uint64).reshape(-1, 2)
    wanted, number = np.unique(pairs, axis=0, return_inverse=True)
    table, found = extents_of(wanted)
    for start, segments, objects in slabs(segmentation, truth):
        measure_pairs(segments, objects, start, table, found)
    return [_location(found, n) for n in number.ravel().tolist()]


def _costliest(
    kind: Literal["split", "merge"],
    labels: NDArray[np.uint64],
    parts: NDArray[np.uint64],
    counts: NDArray[np.int64],
    sizes: NDArray[np.float64],
    number: int,
) -> list[LabelError]:
    names, which = np.unique(labels, return_inverse=True)
    cost = np.bincount(which, weights=counts * np.log2(sizes / counts)) / counts.sum()
    several = np.bincount(which) > 1
    order = [i for i in np.argsort(-cost, kind="stable") if several[i]][:number]
    errors = []
    for i in order:
        rows = np.flatnonzero(which == i)
        rows = rows[np.argsort(-counts[rows], kind="stable")]
        errors.append(
            LabelError(kind, int(names[i]), tuple(parts[rows].tolist()), tuple(counts[rows].tolist()), float(cost[i]))
        )
    return errors


def _location(found: Extents, pair: int) -> Location:
    voxels = int(found.voxels[pair])
    z, y, x = (found.sums[pair] / max(voxels, 1)).tolist()
    (low_z, low_y, low_x), (high_z, high_y, high_x) = found.low[pair].tolist(), (found.high[pair] + 1).tolist()
    return Location(voxels, (z, y, x), (low_z, low_y, low_x), (high_z, high_y, high_x))

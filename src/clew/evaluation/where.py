"""Where a segmentation is wrong: each split and merge, and what made it.

A merge is a segment in which a second true object lies beside the largest; a split is a true object of which a second part lies in
another segment than the largest. In the tree of merges each has one event that made it, or that would mend it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from clew.arrays import as_whole
from clew.errors import InputError
from clew.evaluation.edges import majorities
from clew.evaluation.overlap import OverlapTable, checked_table, sum_pairs
from clew.evaluation.scores import check_annotated
from clew.kernels.agglomeration_layout import FULL
from clew.kernels.merge_tree import cut_tree
from clew.labels import Labels, sizes_by_id

Parts = tuple[tuple[int, int], tuple[int, int]]
"""The two parts (segment, object) of an error, the larger first."""
Verdict = Literal["segmentation wrong", "truth wrong", "undecided"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True)
class PairError:
    """Two parts that should be apart, or together.

    Parameters
    ----------
    kind : "split" or "merge"
    parts : two pairs (segment, object)
        The larger first: of a split two segments of one object, of a merge two objects in one segment.
    voxels : int
        Of the second part.
    bits : float
        What VOI would gain if this error alone were mended: voi_split by uniting the parts, voi_merge by cutting the second off.
    """

    kind: Literal["split", "merge"]
    parts: Parts
    voxels: int
    bits: float

    @property
    def segments(self) -> tuple[int, ...]:
        """The two segments of a split, the one of a merge."""
        return tuple(dict.fromkeys(segment for segment, _ in self.parts))

    @property
    def objects(self) -> tuple[int, ...]:
        """The two true objects of a merge, the one of a split."""
        return tuple(dict.fromkeys(neuron for _, neuron in self.parts))


class Merges(NamedTuple):
    """The merges of a tree in their order, and the contacts of its fragments.

    Fragments are given by their positions in `fragments`.

    Parameters
    ----------
    fragments : (m,) uint64
        Ids, ascending.
    survivors, absorbed : (n,) int64
        Of each merge, the fragments by which the two regions are known; the first is the smaller.
    levels : (n,) int64
        The lowest score so far, in 65535ths.
    edges : (k, 2) int64
        Fragments that touch.
    areas : (k,) int64
        Voxel pairs of the contacts.
    """

    fragments: NDArray[np.uint64]
    survivors: NDArray[np.int64]
    absorbed: NDArray[np.int64]
    levels: NDArray[np.int64]
    edges: NDArray[np.int64]
    areas: NDArray[np.int64]

    def before(self, threshold: float) -> int:
        """How many merges have happened at a threshold."""
        return int(np.count_nonzero(self.levels > np.round(FULL * (1.0 - threshold), 6)))

    def regions(self, merges: int) -> NDArray[np.int64]:
        """The region of each fragment after so many merges, by its first fragment."""
        parents, times = np.arange(len(self.fragments)), np.full(len(self.fragments), -1)
        parents[self.absorbed] = self.survivors
        times[self.absorbed] = np.arange(len(self.absorbed))[::-1]
        return cut_tree(parents, times, len(self.absorbed) - merges - 0.5)


@dataclass(frozen=True)
class Cause:
    """The merge that made an error, or that would mend it.

    It has made a merge error, or would mend a split.

    Parameters
    ----------
    event : int
        Its index among the merges of the tree.
    threshold : float
        A merge error is there above it, a split up to it.
    edge : int
        Index of the largest contact between the two regions, of fragments of the right objects where there are such.
    objects : two ints
        The true objects of its two fragments, by majority. Where they are not those of the error, the regions met elsewhere.
    """

    event: int
    threshold: float
    edge: int
    objects: tuple[int, int]


def pair_errors(table: OverlapTable, number: int = 50) -> tuple[list[PairError], list[PairError]]:
    """The pairs of parts whose mending would gain most VOI.

    Voxels without a segment (0) are in no pair.

    Parameters
    ----------
    table : OverlapTable
        Overlap of a segmentation with the truth.
    number : int
        How many of each kind, at most.

    Returns
    -------
    splits, merges : list of PairError
        The costliest first.

    Raises
    ------
    InputError
        If the table is empty.
    """
    table, number = checked_table(table), as_whole(number, "number")
    check_annotated(table)
    voxels, known = float(table.counts.sum()), table.segments != 0
    segments, truths, counts = (column[known] for column in (table.segments, table.truths, table.counts))
    splits = [
        PairError("split", ((lead, whole), (part, whole)), size, bits)
        for whole, lead, part, size, bits in _pairs(truths, segments, counts, voxels, number, apart=True)
    ]
    merges = [
        PairError("merge", ((whole, lead), (whole, part)), size, bits)
        for whole, lead, part, size, bits in _pairs(segments, truths, counts, voxels, number, apart=False)
    ]
    return splits, merges


def find_causes(
    errors: Sequence[PairError], table: OverlapTable, merges: Merges, threshold: float
) -> list[Cause | int | None]:
    """Find the merge of the tree behind each error.

    Of a merge it is the first that brings a fragment of one object (by majority) into one region with one of the other; of a split
    the one that would unite the two segments.

    Parameters
    ----------
    errors : sequence of PairError
        Of the segmentation at the threshold.
    table : OverlapTable
        Overlap of the fragments with the truth.
    merges : Merges
    threshold : float

    Returns
    -------
    list
        For each error its cause; the id of a fragment where the error lies inside that one; None where nothing in the tree
        unites the parts.
    """
    done = merges.before(threshold)
    regions = merges.regions(done)
    owners = majorities(merges.fragments, table)[0]
    return [_cause(error, table, merges, regions, owners, done) for error in errors]


def _cause(
    error: PairError, table: OverlapTable, merges: Merges, regions: NDArray[np.int64], owners: Labels, done: int
) -> Cause | int | None:
    ids = merges.fragments[regions]
    members = [np.flatnonzero((ids == segment) & (owners == neuron)) for segment, neuron in error.parts]
    for own, (segment, neuron) in zip(members, error.parts, strict=True):
        if not len(own):
            return _largest_in(table, merges.fragments[ids == segment], neuron)
    if error.kind == "split":
        events = np.arange(done, len(merges.absorbed))
        marks = {int(regions[own[0]]): 1 << side for side, own in enumerate(members)}
    else:
        events = np.flatnonzero(regions[merges.absorbed[:done]] == regions[members[0][0]])
        marks = {int(fragment): 1 << side for side, own in enumerate(members) for fragment in own}
    event = _first_meeting(merges, marks, events)
    if event is None:
        return None
    threshold = 1.0 - int(merges.levels[event]) / FULL
    edge = _contact(merges, event, owners, error)
    one, other = owners[merges.edges[edge]].tolist()
    return Cause(event, threshold, edge, (one, other))


def _first_meeting(merges: Merges, marks: dict[int, int], events: NDArray[np.int64]) -> int | None:
    """The first of some merges that joins a region of mark 1 to one of mark 2."""
    survivors, taken = merges.survivors[events].tolist(), merges.absorbed[events].tolist()
    for event, survivor, absorbed in zip(events.tolist(), survivors, taken, strict=True):
        brought = marks.get(absorbed)
        if brought:
            both = brought | marks.get(survivor, 0)
            if both == 3:
                return event
            marks[survivor] = both
    return None


def _contact(merges: Merges, event: int, owners: Labels, error: PairError) -> int:
    """The largest contact between the two regions of a merge.

    It is one of fragments of the right objects, where there is such.
    """
    regions = merges.regions(event)
    ends = regions[merges.edges]
    one, other = merges.survivors[event], merges.absorbed[event]
    across = np.flatnonzero(
        ((ends[:, 0] == one) & (ends[:, 1] == other)) | ((ends[:, 0] == other) & (ends[:, 1] == one))
    )
    objects = owners[merges.edges[across]]
    wanted = np.array([neuron for _, neuron in error.parts], np.uint64)
    right = (objects == wanted).all(axis=1) | (objects == wanted[::-1]).all(axis=1)
    chosen = across[right] if right.any() else across
    return int(chosen[np.argmax(merges.areas[chosen])])


def _largest_in(table: OverlapTable, fragments: NDArray[np.uint64], neuron: int) -> int | None:
    """The fragment among these that holds most voxels of an object."""
    rows = np.flatnonzero((table.truths == neuron) & np.isin(table.segments, fragments))
    return int(table.segments[rows[np.argmax(table.counts[rows])]]) if len(rows) else None


def _pairs(
    wholes: Labels, parts: Labels, counts: NDArray[np.int64], voxels: float, number: int, *, apart: bool
) -> Iterator[tuple[int, int, int, int, float]]:
    """Wholes with their largest part, another part, its voxels and its bits.

    The costliest come first.
    """
    order = np.lexsort((parts, -counts, wholes))
    wholes, parts, counts = wholes[order], parts[order], counts[order]
    rows = np.arange(len(wholes))
    leads = np.maximum.accumulate(np.where(np.append(True, wholes[1:] != wholes[:-1])[: len(wholes)], rows, 0))
    second = np.flatnonzero(leads != rows)
    own = counts[second].astype(np.float64)
    beside = (counts[leads] if apart else sizes_by_id(wholes, counts) - counts)[second].astype(np.float64)
    bits = (_weight(beside + own) - _weight(beside) - _weight(own)) / voxels
    for row in np.argsort(-bits, kind="stable")[:number].tolist():
        at = second[row]
        yield int(wholes[at]), int(parts[leads[at]]), int(parts[at]), int(counts[at]), float(bits[row])


def _weight(voxels: NDArray[np.float64]) -> NDArray[np.float64]:
    return voxels * np.log2(voxels)


def judged_table(table: OverlapTable, verdicts: Mapping[Parts, Verdict]) -> OverlapTable:
    """The overlap after verdicts of a person on errors.

    Where the truth is wrong, the two objects of a merge are one, and the second part of a split is an object of its own. What is
    undecided does not count: the second part is left out. Where the segmentation is wrong, nothing changes.

    Parameters
    ----------
    table : OverlapTable
        Of the segmentation in which the errors were found.
    verdicts : mapping
        From the parts of errors.

    Raises
    ------
    InputError
        If the segmentation has no such parts.
    """
    table = checked_table(table)
    rows = {pair: row for row, pair in enumerate(zip(table.segments.tolist(), table.truths.tolist(), strict=True))}
    truths, kept, next_id = table.truths.copy(), np.ones(len(table.counts), bool), int(table.truths.max(initial=0)) + 1
    joined: list[tuple[int, int]] = []
    for parts, verdict in verdicts.items():
        if not all(part in rows for part in parts):
            raise InputError(
                f"the segmentation has no error of the parts (segment, object) {parts}: verdicts are of another one"
            )
        if verdict == "undecided":
            kept[rows[parts[1]]] = False
        elif verdict == "truth wrong" and parts[0][0] == parts[1][0]:
            joined.append((parts[0][1], parts[1][1]))
        elif verdict == "truth wrong":
            truths[rows[parts[1]]] = next_id
            next_id += 1
    return sum_pairs(table.segments[kept], as_one(truths, joined)[kept], table.counts[kept])


def as_one(truths: Labels, joined: Sequence[tuple[int, int]]) -> Labels:
    """The objects after some pairs of them have become one, named by the smallest id."""
    if not joined:
        return truths
    ids, ends = np.unique(np.array(joined, np.uint64), return_inverse=True)
    one, other = ends.reshape(-1, 2).T
    groups = connected_components(coo_array((np.ones(len(one)), (one, other)), (len(ids), len(ids))), directed=False)[1]
    first = ids[np.unique(groups, return_index=True)[1]][groups]
    places = np.minimum(np.searchsorted(ids, truths), len(ids) - 1)
    return np.where(ids[places] == truths, first[places], truths)

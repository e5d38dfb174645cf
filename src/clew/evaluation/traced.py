"""Where a segmentation is wrong along skeletons: each split and merge.

A split is a second segment of a piece of a skeleton; a merge is a pair of skeletons that share a segment, however many they share.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array, triu
from scipy.spatial import cKDTree

from clew.arrays import as_whole
from clew.errors import InputError
from clew.evaluation.overlap import OverlapTable, sum_pairs
from clew.evaluation.skeletons import Skeletons, checked_nodes, parts_of, pieces_of
from clew.evaluation.where import Parts, Verdict, as_one
from clew.labels import Labels


@dataclass(frozen=True)
class TracedError:
    """Two parts of skeletons that should be in one segment, or in two.

    Parameters
    ----------
    kind : "split" or "merge"
    parts : two pairs (segment, skeleton)
        The longer first. Skeletons are given by their position among the ids, from 1 on, as in `node_table`.
    nodes : int
        Of the second part.
    length : float
        Of the path inside the second part, in nm: what one would have to join, or to cut off.
    at : two ints
        Nodes at which the parts are next to each other, one of each.
    """

    kind: Literal["split", "merge"]
    parts: Parts
    nodes: int
    length: float
    at: tuple[int, int]


class _Parts(NamedTuple):
    """Parts (segment, group) of enough nodes, and the part of each node or -1."""

    segments: Labels
    groups: NDArray[np.int64]
    nodes: NDArray[np.int64]
    lengths: NDArray[np.float64]
    of_nodes: NDArray[np.int64]


def node_table(segments: ArrayLike, skeletons: Skeletons) -> OverlapTable:
    """Overlap of segments and skeletons in nodes.

    Skeletons are numbered from 1 on, in the order of their ids; nodes in no segment are left out.
    """
    found, _, owner = checked_nodes(segments, skeletons)
    inside = found != 0
    return sum_pairs(found[inside], owner[inside].astype(np.uint64) + 1, np.ones(np.count_nonzero(inside), np.int64))


def merged_pairs(segments: ArrayLike, skeletons: Skeletons, minimum_nodes: int = 1) -> int:
    """How many pairs of skeletons share a segment; each pair counts once.

    Parameters as of `score_skeletons`.
    """
    found, ids, owner = checked_nodes(segments, skeletons)
    parts = parts_of(found, owner, as_whole(minimum_nodes, "minimum_nodes", 1))
    _, columns = np.unique(parts[:, 0], return_inverse=True)
    shape = (len(ids), int(columns.max(initial=-1)) + 1)
    holds = coo_array((np.ones(len(parts), np.int64), (parts[:, 1].astype(np.int64), columns.ravel())), shape).tocsr()
    return int(triu(holds @ holds.T, k=1).nnz)


def traced_errors(
    segments: ArrayLike, skeletons: Skeletons, minimum_nodes: int = 1, number: int = 50
) -> tuple[list[TracedError], list[TracedError]]:
    """The splits and merges with the longest second parts.

    Of a segment with several skeletons the errors are those of the longest with each other; of a pair in several segments the
    longest.

    Parameters
    ----------
    segments : (nodes,) whole numbers
        Segment at each node; nodes in segment 0 are in no segment.
    skeletons : Skeletons
        With as many nodes.
    minimum_nodes : int
        A segment counts as part of a skeleton if it holds this many of its nodes.
    number : int
        How many of each kind, at most.

    Returns
    -------
    splits, merges : list of TracedError
        The longest first.

    Raises
    ------
    InputError
        If there is not one segment for each node.
    """
    found, _, owner = checked_nodes(segments, skeletons)
    minimum_nodes, number = as_whole(minimum_nodes, "minimum_nodes", 1), as_whole(number, "number")
    pieces = pieces_of(skeletons)
    apart = _find_parts(found, pieces.of_nodes, skeletons, minimum_nodes)
    together = _find_parts(found, owner, skeletons, minimum_nodes)
    splits = [
        _error("split", apart, pair, pieces.owners[apart.groups], skeletons)
        for pair in _ranked(apart, apart.groups, number)
    ]
    merges = [
        _error("merge", together, pair, together.groups, skeletons)
        for pair in _once(_ranked(together, together.segments, len(together.nodes)), together.groups, number)
    ]
    return splits, merges


def judged_skeletons(
    segments: ArrayLike, skeletons: Skeletons, verdicts: Mapping[Parts, Verdict]
) -> tuple[Labels, Skeletons]:
    """The nodes after verdicts of a person on errors.

    Where the truth is wrong, the two skeletons of a merge are one, and the second part of a split is a skeleton of its own. What
    is undecided does not count: the nodes of the second part are left out. Where the segmentation is wrong, nothing changes.

    Parameters
    ----------
    segments : (nodes,) whole numbers
        Segment at each node, of the segmentation in which the errors were found.
    skeletons : Skeletons
        With as many nodes.
    verdicts : mapping
        From the parts (segment, id of the skeleton) of errors.

    Returns
    -------
    segments : (kept nodes,) uint64
    skeletons : Skeletons
        Numbered anew.

    Raises
    ------
    InputError
        If the segmentation has no such parts.
    """
    found, _, owner = checked_nodes(segments, skeletons)
    owners, pieces = owner.astype(np.uint64) + 1, pieces_of(skeletons).of_nodes.astype(np.uint64) + 1
    own, kept = owners.copy(), np.ones(len(found), bool)
    joined: list[tuple[int, int]] = []
    joined_pieces: list[tuple[int, int]] = []
    for parts, verdict in verdicts.items():
        nodes = [np.flatnonzero((found == segment) & (skeletons.skeletons == skeleton)) for segment, skeleton in parts]
        if not all(map(len, nodes)):
            raise InputError(
                f"the segmentation has no error of the parts (segment, skeleton) {parts}: verdicts are of another one"
            )
        if verdict == "undecided":
            kept[nodes[1]] = False
        elif verdict == "truth wrong" and parts[0][0] == parts[1][0]:
            joined.append((int(owners[nodes[0][0]]), int(owners[nodes[1][0]])))
            joined_pieces.append((_most(pieces[nodes[0]]), _most(pieces[nodes[1]])))
        elif verdict == "truth wrong":
            own[nodes[1]] = own.max() + 1
    return found[kept], _kept(skeletons, as_one(own, joined), as_one(pieces, joined_pieces), kept)


def _most(values: Labels) -> int:
    found, counts = np.unique(values, return_counts=True)
    return int(found[np.argmax(counts)])


def _kept(skeletons: Skeletons, owners: Labels, pieces: Labels, kept: NDArray[np.bool_]) -> Skeletons:
    """The kept nodes under new owners, and the edges that do not join two."""
    ends = skeletons.edges
    edges = ends[kept[ends].all(axis=1) & (owners[ends[:, 0]] == owners[ends[:, 1]])]
    numbers, groups = (values[kept].astype(np.int64) for values in (owners, pieces))
    return Skeletons(skeletons.positions[kept], (np.cumsum(kept) - 1)[edges], numbers, groups)


def _find_parts(segments: Labels, groups: NDArray[np.int64], skeletons: Skeletons, minimum_nodes: int) -> _Parts:
    inside = np.flatnonzero(segments != 0)
    rows = np.stack([segments[inside], groups[inside].astype(np.uint64)], axis=1)
    pairs, index, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    new = np.where(counts >= minimum_nodes, np.cumsum(counts >= minimum_nodes) - 1, -1)
    kept = counts >= minimum_nodes
    of_nodes = np.full(len(segments), -1)
    of_nodes[inside] = new[index.ravel()]
    first, second = of_nodes[skeletons.edges].T
    within = (first == second) & (first >= 0)
    lengths = np.bincount(first[within], skeletons.lengths[within], np.count_nonzero(kept)).astype(np.float64)
    return _Parts(pairs[kept, 0], pairs[kept, 1].astype(np.int64), counts[kept], lengths, of_nodes)


def _ranked(parts: _Parts, wholes: NDArray, number: int) -> list[tuple[int, int]]:
    """Pairs of the longest part of a whole and another one, the longest first."""
    order = np.lexsort((-parts.nodes, -parts.lengths, wholes))
    rows = np.arange(len(order))
    begins = np.append(True, wholes[order][1:] != wholes[order][:-1])[: len(order)]
    leads = np.maximum.accumulate(np.where(begins, rows, 0))
    others = rows[leads != rows]
    at = order[others]
    best = np.lexsort((-parts.nodes[at], -parts.lengths[at]))[:number]
    return [(int(order[leads[others[row]]]), int(at[row])) for row in best]


def _once(pairs: list[tuple[int, int]], groups: NDArray[np.int64], number: int) -> Iterator[tuple[int, int]]:
    """The first of the pairs of each two skeletons, so many in all."""
    seen: set[frozenset[int]] = set()
    for one, other in pairs:
        both = frozenset((int(groups[one]), int(groups[other])))
        if both not in seen and len(seen) < number:
            seen.add(both)
            yield one, other


def _error(
    kind: Literal["split", "merge"],
    parts: _Parts,
    pair: tuple[int, int],
    owners: NDArray[np.int64],
    skeletons: Skeletons,
) -> TracedError:
    lead, part = pair
    both = tuple((int(parts.segments[each]), int(owners[each]) + 1) for each in pair)
    at = (_edge_between(parts.of_nodes, lead, part, skeletons) if kind == "split" else None) or _nearest(
        np.flatnonzero(parts.of_nodes == lead), np.flatnonzero(parts.of_nodes == part), skeletons
    )
    return TracedError(kind, both, int(parts.nodes[part]), float(parts.lengths[part]), at)  # type: ignore[arg-type]


def _edge_between(of_nodes: NDArray[np.int64], lead: int, part: int, skeletons: Skeletons) -> tuple[int, int] | None:
    """The ends of an edge from the lead, or else from elsewhere, into the part."""
    edges = np.concatenate([skeletons.edges, skeletons.edges[:, ::-1]])
    here = edges[(of_nodes[edges[:, 1]] == part) & (of_nodes[edges[:, 0]] != part)]
    if not len(here):
        return None
    row = int(np.argmax(of_nodes[here[:, 0]] == lead))
    return int(here[row, 0]), int(here[row, 1])


def _nearest(one: NDArray[np.int64], other: NDArray[np.int64], skeletons: Skeletons) -> tuple[int, int]:
    """The nodes of two sets that are nearest to each other."""
    away, index = cKDTree(skeletons.positions[one]).query(skeletons.positions[other])
    row = int(np.argmin(away))
    return int(one[index[row]]), int(other[row])

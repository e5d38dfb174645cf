"""A fragment that a person divides: its pieces, and the region graph with them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.block import global_indices
from clew.errors import InputError
from clew.kernels.forest import unite_indices
from clew.kernels.relabel import positions_of
from clew.proofreading.growth import grow_points
from clew.segmentation.region_graph import RegionGraph, build_region_graph
from clew.space import Box, Triple

Ids = NDArray[np.uint64]
FIRST_REACH = 32
"""Voxels around a point in which a fragment is looked for first."""


@dataclass(frozen=True)
class Division:
    """A fragment and the pieces that it became.

    Parameters
    ----------
    fragment : int
        Its id.
    box : Box
        The smallest that holds its voxels.
    pieces : (z, y, x) uint64
        The piece of each voxel of the box, 0 outside of the fragment.
    graph : RegionGraph
        The sizes of the pieces, and their contacts with each other and with the fragments around, whose sizes are 0 here.
    """

    fragment: int
    box: Box
    pieces: Ids
    graph: RegionGraph

    @property
    def ids(self) -> Ids:
        """The pieces, ascending."""
        ids: Ids = self.graph.fragments[self.graph.sizes > 0]
        return ids

    def piece_at(self, voxel: Sequence[int]) -> int:
        """The piece that holds a voxel (z, y, x) of the fragment."""
        return int(self.pieces[tuple(at - low for at, low in zip(voxel, self.box.low, strict=True))])

    def show(self, fragments: Ids, box: Box) -> None:
        """Write the pieces into the fragments of a box of the volume, in place."""
        both = self.box.overlap(box)
        pieces, there = self.pieces[both.within(self.box)], fragments[both.within(box)]
        np.copyto(there, pieces, where=pieces != 0)


def divide(
    affinities: np.ndarray,
    fragments: Ids,
    box: Box,
    frame: Triple,
    points: Sequence[Sequence[int]],
    sides: Sequence[int],
    *,
    others: Ids,
) -> Division:
    """Divide a fragment between two sides, each given by voxels in it.

    Each voxel goes to the point that `grow_points` says; what grows from points of one side, and touches, is one piece. The id of a
    piece is 1 + its smallest voxel.

    Parameters
    ----------
    affinities : (3, z, y, x) uint8
        Of the voxels in `box`.
    fragments : (z, y, x) uint64
        Of the same voxels.
    box : Box
        All voxels of the fragment and those around it.
    frame : voxels (z, y, x)
        Shape of the whole volume.
    points : sequence of (z, y, x)
        In the whole volume; all in one fragment.
    sides : sequence of int
        Side of each point.
    others : (m,) uint64
        Ids of all fragments of the volume. Where they were not named by their smallest voxels and one has the id of a piece, the
        pieces get ids above all of them.

    Returns
    -------
    Division

    Raises
    ------
    InputError
        For one voxel on two sides.
    """
    voxels, side_of = _distinct_points(points, sides, box)
    fragment = fragments.reshape(-1)[voxels[0]]
    inside = fragments == fragment
    owners = grow_points(affinities, inside, voxels, side_of)
    groups = _touching(owners, side_of)
    rows = np.flatnonzero(inside)
    firsts = np.full(len(voxels), rows[-1])
    np.minimum.at(firsts, groups[owners.reshape(-1)[rows]], rows)
    ids = global_indices(firsts, box, frame).astype(np.uint64) + np.uint64(1)
    if np.isin(ids[groups], others[others != fragment]).any():
        ids += others.max()
    pieces = np.where(inside, ids[groups[owners]], np.uint64(0))
    graph = build_region_graph(affinities, np.where(inside, pieces, fragments))
    tight = _smallest_box(inside)
    return Division(int(fragment), tight.shifted(box.low), pieces[tight], _contacts_of(graph, np.unique(ids[groups])))


def find_fragment(
    read: Callable[[Box], Ids], fragment: int, size: int, voxel: Sequence[int], shape: Triple
) -> tuple[Box, Ids]:
    """Find all voxels of a fragment, from one of them, in boxes that grow.

    Parameters
    ----------
    read : callable
        The fragments in a box.
    fragment, size : int
        Its id, and how many voxels it has.
    voxel : (z, y, x)
        One of them.
    shape : voxels (z, y, x)
        Of the volume.

    Returns
    -------
    box : Box
        The smallest that holds the fragment, and the voxels around it.
    fragments : (z, y, x) uint64
        In this box.

    Raises
    ------
    InputError
        Where the volume holds another number of its voxels.
    """
    whole, reach = Box.whole(shape), FIRST_REACH
    box = Box.between(voxel, (at + 1 for at in voxel))
    while True:
        box = box.grown((reach,) * 3, (reach,) * 3, inside=whole)
        found = read(box)
        inside = found == np.uint64(fragment)
        if np.count_nonzero(inside) == size:
            tight = _smallest_box(inside).grown((1,) * 3, (1,) * 3)
            around = tight.shifted(box.low).overlap(whole)
            return (around, found[around.within(box)]) if around.lies_in(box) else (around, read(around))
        if box == whole:
            count = np.count_nonzero(inside)
            raise InputError(
                f"fragment {fragment} has {count} voxels in the volume and {size} in the region graph: take the fragments that "
                "the graph was made of"
            )
        reach *= 2


def divided_graph(graph: RegionGraph, divisions: Sequence[Division]) -> RegionGraph:
    """The region graph of fragments after divisions, in their order.

    Parameters
    ----------
    graph : RegionGraph
        Of the fragments before all of them.
    divisions : sequence of Division
        A later one may divide what an earlier one made.

    Returns
    -------
    RegionGraph
        As `build_region_graph` of the divided fragments.
    """
    if not divisions:
        return graph
    parts = [graph, *(division.graph for division in divisions)]
    gone = [np.array([later.fragment for later in divisions[place:]], np.uint64) for place in range(len(parts))]
    kept = [_without(part, lost) for part, lost in zip(parts, gone, strict=True)]
    ids = np.concatenate([part.fragments[part.sizes > 0] for part in kept])
    sizes = np.concatenate([part.sizes[part.sizes > 0] for part in kept])
    order = np.argsort(ids, kind="stable")
    edges = np.concatenate([part.edges for part in kept])
    edge_order = np.lexsort((edges[:, 1], edges[:, 0]))
    lengths = np.concatenate([np.diff(part.starts) for part in kept])
    cells = _cells(np.cumsum(lengths) - lengths, lengths, edge_order)
    bins, counts = (np.concatenate([getattr(part, name) for part in kept])[cells] for name in ("bins", "counts"))
    starts = np.append(0, np.cumsum(lengths[edge_order]))
    return RegionGraph(ids[order], sizes[order], edges[edge_order], starts, bins, counts)


def resolve_points(points: Sequence[Sequence[int]], divisions: Sequence[Division]) -> Ids:
    """The fragment or piece of each point after divisions.

    Parameters
    ----------
    points : sequence of (fragment, z, y, x)
        With the fragment before them.
    divisions : sequence of Division

    Returns
    -------
    (n,) uint64
    """
    ids = [int(point[0]) for point in points]
    for division in divisions:
        ids = [
            division.piece_at(point[1:]) if own == division.fragment else own
            for own, point in zip(ids, points, strict=True)
        ]
    return np.array(ids, np.uint64)


def resolve_pairs(pairs: Ids, divisions: Sequence[Division]) -> Ids:
    """Pairs of fragments after divisions, (n, 2).

    A divided one stands for all of its pieces.
    """
    for division in divisions:
        for end in (0, 1):
            divided = pairs[:, end] == np.uint64(division.fragment)
            if divided.any():
                every = np.repeat(pairs[divided], len(division.ids), axis=0)
                every[:, end] = np.tile(division.ids, np.count_nonzero(divided))
                pairs = np.concatenate([pairs[~divided], every])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def owners_of(fragments: Ids, divisions: Sequence[Division]) -> Ids:
    """The fragment before all divisions that each one is of, (n,)."""
    owner: dict[int, int] = {}
    for division in divisions:
        own = owner.pop(division.fragment, division.fragment)
        owner |= dict.fromkeys(division.ids.tolist(), own)
    owners = fragments.copy()
    pieces = np.array(list(owner), np.uint64)
    owners[positions_of(fragments, pieces)] = np.array(list(owner.values()), np.uint64)
    return owners


def _distinct_points(
    points: Sequence[Sequence[int]], sides: Sequence[int], box: Box
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Flat positions of the points in a box, ascending, each once, and their sides."""
    places = np.array(points, np.int64) - np.array(box.low)
    voxels, first, again = np.unique(
        np.ravel_multi_index(tuple(places.T), box.shape), return_index=True, return_inverse=True
    )
    found = np.array(sides, np.int64)
    for place in np.flatnonzero(found != found[first][again])[:1]:
        raise InputError(f"voxel {tuple(points[place])} is on both sides of the split")
    return voxels, found[first]


def _touching(owners: NDArray[np.int64], sides: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first point of the piece of each.

    Territories of one side that touch are one.
    """
    pairs = []
    for axis in range(3):
        before, after = (np.moveaxis(owners, axis, 0)[part].ravel() for part in (slice(None, -1), slice(1, None)))
        both = (before >= 0) & (after >= 0)
        pairs.append(np.unique(np.column_stack([before[both], after[both]]), axis=0))
    ones, others = np.concatenate(pairs).T
    same = sides[ones] == sides[others]
    return unite_indices(ones[same], others[same], len(sides))


def _contacts_of(graph: RegionGraph, pieces: Ids) -> RegionGraph:
    """The part of a graph that is about some of its fragments."""
    part = _with_edges(graph, _about(graph.edges, pieces))
    own = np.isin(graph.fragments, pieces)
    listed = own | np.isin(graph.fragments, part.edges)
    return replace(part, fragments=graph.fragments[listed], sizes=np.where(own, graph.sizes, 0)[listed])


def _without(graph: RegionGraph, gone: Ids) -> RegionGraph:
    """A graph without some fragments and their contacts."""
    part = _with_edges(graph, ~_about(graph.edges, gone))
    kept = ~np.isin(graph.fragments, gone)
    return replace(part, fragments=graph.fragments[kept], sizes=graph.sizes[kept])


def _about(edges: Ids, fragments: Ids) -> NDArray[np.bool_]:
    """Which edges have an end among some fragments."""
    one, other = (np.isin(edges[:, end], fragments) for end in (0, 1))
    return one | other


def _with_edges(graph: RegionGraph, kept: NDArray[np.bool_]) -> RegionGraph:
    lengths = np.diff(graph.starts)
    cells = np.repeat(kept, lengths)
    starts = np.append(0, np.cumsum(lengths[kept]))
    return replace(graph, edges=graph.edges[kept], starts=starts, bins=graph.bins[cells], counts=graph.counts[cells])


def _cells(starts: NDArray[np.int64], lengths: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cells of the histograms of edges in another order."""
    firsts = starts[order] - (np.cumsum(lengths[order]) - lengths[order])
    return np.repeat(firsts, lengths[order]) + np.arange(lengths.sum())


def _smallest_box(inside: NDArray[np.bool_]) -> Box:
    ends = []
    for axis in range(3):
        along = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        ends.append((int(along[0]), int(along[-1]) + 1))
    return Box(*(slice(*end) for end in ends))

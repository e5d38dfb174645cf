"""A fragment that a person divides: its pieces, and the region graph with them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clew.kernels.relabel import positions_of
from clew.segmentation.pieces import Pieces, divided_pieces
from clew.segmentation.region_graph import RegionGraph, build_region_graph
from clew.space import Box, Triple

Ids = NDArray[np.uint64]


@dataclass(frozen=True)
class Division(Pieces):
    """A fragment that was divided, and the region graph of its pieces.

    Parameters
    ----------
    graph : RegionGraph
        The sizes of the pieces, and their contacts with each other and with the fragments around, whose sizes are 0 here.
    """

    graph: RegionGraph

    @property
    def ids(self) -> Ids:
        """The pieces, ascending."""
        ids: Ids = self.graph.fragments[self.graph.sizes > 0]
        return ids


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

    As `divided_pieces` does, from the same parameters and with the same errors; `box` holds the voxels around the fragment, too.

    Returns
    -------
    Division
        The pieces, and their region graph.
    """
    found = divided_pieces(affinities, fragments, box, frame, points, sides, others=others)
    after = fragments.copy()
    found.show(after, box)
    graph = _contacts_of(build_region_graph(affinities, after), np.unique(found.pieces[found.pieces != 0]))
    return Division(found.fragment, found.box, found.pieces, graph)


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

"""Dust: regions of few voxels join their best neighbour, or are removed.

This works on lookups, never on voxels.
"""

import numpy as np
from numpy.typing import NDArray

from clew.arrays import as_counts, as_ids, as_whole
from clew.errors import InputError
from clew.kernels.merge_tree import cut_tree
from clew.labels import sizes_by_id
from clew.segmentation.agglomeration import initial_graph, merge_edges
from clew.segmentation.constraints import Constraints, checked_constraints
from clew.segmentation.options import AgglomerationOptions
from clew.segmentation.region_graph import RegionGraph, checked_graph, contract_region_graph


def join_dust(
    graph: RegionGraph,
    lookup: NDArray[np.uint64],
    *,
    minimum_size: int,
    options: AgglomerationOptions = AgglomerationOptions(),
    cannot_link: NDArray[np.uint64] = Constraints().cannot_link,
) -> NDArray[np.uint64]:
    """Join every segment of fewer than `minimum_size` voxels to a neighbour.

    The neighbour is the best by scores of the pooled contacts.

    The best edge with a dust segment at one end at least is merged, parallel edges are pooled and scored again, until
    dust has no edge. Any order that merges only edges that are the best of both their segments (edges between two
    segments that are not dust left aside) gives the same, so this is exact at block borders; not so for `mean_top_K`.
    (It is not enough that an edge is the best of the dust: where two dust segments touch each other and the same large
    segment, the first to join changes the score of the other.) Dust without a neighbour stays.

    Parameters
    ----------
    graph : RegionGraph
        Of the fragments.
    lookup : (m,) uint64
        Segment of each of `graph.fragments`, e.g. from `segment_lookup`; 0 for removed ones, which have no edges.
    minimum_size : int
        Voxels; smaller segments are dust.
    options : AgglomerationOptions
        Score by which the best neighbour is chosen; below `options.floor` dust stays.
    cannot_link : (n, 3) uint64
        (fragment, split, side), as of `Constraints`: what lies on different sides of a split is not joined, as if it did not
        touch. `tree.cannot_link` is what the tree was made under.

    Returns
    -------
    (m,) uint64
        The new lookup; a segment has the smallest of the old ids.

    Raises
    ------
    InputError
        Where the lookup or the constraint does not fit the graph, or for an unknown score or a size or floor out of range.

    Examples
    --------
    >>> affinities = np.zeros((3, 1, 1, 4), np.float32)
    >>> affinities[2, 0, 0] = 0, 1, 0.3, 0
    >>> fragments = np.array([[[1, 1, 3, 4]]], np.uint64)
    >>> graph = clew.build_region_graph(affinities, fragments)
    >>> clew.join_dust(graph, np.array([1, 3, 4], np.uint64), minimum_size=2, options=clew.AgglomerationOptions(floor=0.1))
    array([1, 1, 4], dtype=uint64)
    """
    minimum_size = as_whole(minimum_size, "minimum_size")
    graph, lookup = checked_graph(graph), as_ids(lookup, "lookup")
    segments = contract_region_graph(initial_graph(graph, options.score), lookup)
    if not (segments.sizes < minimum_size).any():
        return lookup
    rows = checked_constraints(Constraints(cannot_link=cannot_link), graph.fragments).cannot_link
    owners = lookup[np.searchsorted(graph.fragments, rows[:, 0])]
    sides = np.column_stack([owners, rows[:, 1:]])[owners != 0]
    merges, levels = merge_edges(segments, options, minimum_size, sides)
    parents = np.arange(len(segments.fragments))
    parents[merges[:, 1]] = merges[:, 0]
    merged = np.full(len(parents), -1)
    merged[merges[:, 1]] = levels
    roots = cut_tree(parents, merged, -1.0)
    joined = np.zeros_like(lookup)
    kept = lookup != 0
    joined[kept] = segments.fragments[roots][np.searchsorted(segments.fragments, lookup[kept])]
    return joined


def remove_small(sizes: NDArray[np.int64], lookup: NDArray[np.uint64], *, minimum_size: int) -> NDArray[np.uint64]:
    """Set segments of fewer than `minimum_size` voxels to 0. Exact at block borders.

    Parameters
    ----------
    sizes : (m,) int64
        Voxels of each fragment (`tree.sizes` or `graph.sizes`).
    lookup : (m,) uint64
        Segment of each fragment; 0 stays 0.
    minimum_size : int
        Voxels.

    Returns
    -------
    (m,) uint64

    Raises
    ------
    InputError
        Where lengths differ or the size is negative.

    Examples
    --------
    >>> clew.remove_small(np.array([500, 3]), np.array([1, 9], np.uint64), minimum_size=100)
    array([1, 0], dtype=uint64)
    """
    minimum_size = as_whole(minimum_size, "minimum_size")
    sizes, lookup = as_counts(sizes, "sizes"), as_ids(lookup, "lookup")
    if sizes.shape != lookup.shape:
        raise InputError(f"lookup must have one segment for each of the {len(sizes)} sizes, not shape {lookup.shape}")
    return np.where(sizes_by_id(lookup, sizes) < minimum_size, np.uint64(0), lookup)

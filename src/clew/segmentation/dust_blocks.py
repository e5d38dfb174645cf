"""Dust block by block: blocks add up the contacts of dust segments, which are few; these are joined as in core."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clew.segmentation.agglomeration_options import AgglomerationOptions
from clew.segmentation.dust import join_dust
from clew.segmentation.region_graph import RegionGraph, merge_region_graphs, pool_region_graph
from clew.segmentation.relabel import replace_names


def segment_sizes(sizes: NDArray[np.int64], lookup: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Voxels of the segment of each fragment."""
    names, places = np.unique(lookup, return_inverse=True)
    totals = np.zeros(len(names), np.int64)
    np.add.at(totals, places, sizes)
    return totals[places]


def dust_contacts(graph: RegionGraph, segments: NDArray[np.uint64], dust: NDArray[np.bool_]) -> RegionGraph:
    """The contacts between two segments one of which at least is dust; what joins dust looks at no others.

    Parameters
    ----------
    graph : RegionGraph
        Of one block.
    segments : (m,) uint64
        Segment of each of `graph.fragments`, 0 for removed ones.
    dust : (m,) bool
        Whether that segment is dust, in the whole volume.
    """
    ends = np.searchsorted(graph.fragments, graph.edges)
    one, two = segments[ends].T
    chosen = (one != two) & (one != 0) & (two != 0) & dust[ends].any(axis=1)
    cells = np.repeat(chosen, np.diff(graph.starts))
    edges, lengths = graph.edges[chosen], np.diff(graph.starts)[chosen]
    names = np.unique(edges)
    return pool_region_graph(
        names, np.zeros(len(names), np.int64), edges, lengths, graph.bins[cells], graph.counts[cells]
    )


def join_dust_parts(
    parts: Sequence[RegionGraph],
    fragments: NDArray[np.uint64],
    sizes: NDArray[np.int64],
    lookup: NDArray[np.uint64],
    *,
    minimum_size: int,
    options: AgglomerationOptions,
) -> NDArray[np.uint64]:
    """`join_dust` from the `dust_contacts` of all blocks.

    Parameters
    ----------
    parts : sequence of RegionGraph
    fragments, sizes, lookup : (m,)
        All fragments of the volume, ascending, their voxels and segments.
    minimum_size : voxels
    options : AgglomerationOptions
        Score, and floor below which dust stays.

    Returns
    -------
    (m,) uint64
        The new lookup.
    """
    graph = merge_region_graphs(parts)
    rows = np.searchsorted(fragments, graph.fragments)
    segments, first = np.unique(lookup[rows], return_index=True)
    counted = np.zeros(len(rows), np.int64)
    counted[first] = segment_sizes(sizes, lookup)[rows[first]]
    joined = join_dust(replace(graph, sizes=counted), lookup[rows], minimum_size=minimum_size, options=options)
    return replace_names(lookup, segments, joined[first])

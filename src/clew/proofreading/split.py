"""Where to cut a segment in two: the minimum cut between two groups."""

import numpy as np
from numpy.typing import NDArray

from clew.segmentation.region_graph import RegionGraph

MOST_FLOW = 2**31 - 1
"""What the sum of all capacities may be: flows are int32."""
SOURCE, SINK, FIRST = 0, 1, 2
"""Nodes of the flow: all fragments of a group are one, so that none of them comes to the other side."""


def contact_strengths(graph: RegionGraph, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum of the affinities (0..255) of some contacts, (n,), by their rows.

    So a large contact is not cut for a small one.
    """
    first, lengths = graph.starts[rows], graph.starts[rows + 1] - graph.starts[rows]
    ends = np.append(0, np.cumsum(lengths))
    cells = np.arange(ends[-1]) + np.repeat(first - ends[:-1], lengths)
    return np.diff(np.append(0, np.cumsum(graph.bins[cells] * graph.counts[cells]))[ends])


def minimum_cut(
    ends: NDArray[np.int64],
    strengths: NDArray[np.int64],
    sizes: NDArray[np.int64],
    sources: NDArray[np.int64],
    sinks: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Which contacts to cut, so that no path leads from the sources to the sinks.

    The sum of their strengths is the smallest. Of the two outermost of several such cuts, the one whose smaller side has more
    voxels.

    Parameters
    ----------
    ends : (n, 2) int64
        Fragments of each contact, by position.
    strengths : (n,) int64
        What it costs to cut each; at least 1 is taken.
    sizes : (m,) int64
        Voxels of each fragment.
    sources, sinks : (k,) int64
        Two groups of fragments without a common one.

    Returns
    -------
    (n,) bool
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    members = np.unique(np.concatenate([ends.ravel(), sources, sinks]))
    free = members[~np.isin(members, sources) & ~np.isin(members, sinks)]
    nodes = np.zeros(members[-1] + 1, np.int64)
    nodes[free] = np.arange(FIRST, FIRST + len(free))
    nodes[sources], nodes[sinks] = SOURCE, SINK
    one, two = nodes[ends].T
    scaled = np.maximum(strengths * min(1.0, (MOST_FLOW // 2 - len(ends)) / max(strengths.sum(), 1)), 1).astype(
        np.int64
    )
    apart, shape = one != two, (FIRST + len(free),) * 2
    pairs = np.concatenate([one[apart], two[apart]]), np.concatenate([two[apart], one[apart]])
    capacities = coo_matrix((np.tile(scaled[apart], 2), pairs), shape).tocsr().astype(np.int32)
    left = capacities - maximum_flow(capacities, SOURCE, SINK).flow
    left.data[left.data < 0] = 0
    left.eliminate_zeros()
    voxels = np.bincount(nodes[members], sizes[members], minlength=shape[0])
    cuts = []
    for residual, start, beside in ((left, SOURCE, True), (left.T.tocsr(), SINK, False)):
        side = np.full(shape[0], not beside)
        side[breadth_first_order(residual, start, return_predecessors=False)] = beside
        cuts.append((min(voxels[side].sum(), voxels[~side].sum()), side[one] != side[two]))
    return max(cuts, key=lambda cut: cut[0])[1]

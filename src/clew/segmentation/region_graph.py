"""Region graph: which fragments touch, and the affinities in every contact.

Affinities are kept as a multiset, in integers that add up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clew.arrays import as_array, as_box, as_counts, as_ids
from clew.errors import InputError
from clew.kernels.region_graph import Contacts, collect_contacts, sparse_histograms
from clew.kernels.relabel import positions_of
from clew.segmentation.affinities import quantise

_MOST_PAIRS = 2**47
"""Voxel pairs of a graph that the kernels of agglomeration can add up."""


@dataclass(frozen=True)
class RegionGraph:
    """Fragments, the pairs that touch, and a histogram of affinities for each pair.

    Histograms have 256 bins and are stored sparsely.

    Graphs of disjoint sets of voxels add up (`merge_region_graphs`), in any order.

    Parameters
    ----------
    fragments : (m,) uint64
        Ids, ascending; never 0.
    sizes : (m,) int64
        Voxels of each fragment.
    edges : (n, 2) uint64
        Ids (u, v) of two touching fragments, u < v, in lexicographic order.
    starts : (n + 1,) int64
        The histogram of edge e is `bins[starts[e]:starts[e + 1]]` with `counts[starts[e]:starts[e + 1]]`.
    bins : (k,) uint8
        Quantised affinities that occur in the contact, ascending within an edge.
    counts : (k,) int64
        How many voxel pairs of the contact have that affinity; at least 1.

    Examples
    --------
    >>> affinities = np.full((3, 1, 1, 4), 204, np.uint8)
    >>> graph = clew.build_region_graph(affinities, np.array([[[1, 1, 3, 3]]], np.uint64))
    >>> graph.edges.tolist(), graph.bins.tolist(), graph.counts.tolist()
    ([[1, 3]], [204], [1])
    """

    fragments: NDArray[np.uint64]
    sizes: NDArray[np.int64]
    edges: NDArray[np.uint64]
    starts: NDArray[np.int64]
    bins: NDArray[np.uint8]
    counts: NDArray[np.int64]

    @property
    def areas(self) -> NDArray[np.int64]:
        """Voxel pairs of each contact, (n,)."""
        return np.diff(np.append(0, np.cumsum(self.counts))[self.starts])


def build_region_graph(
    affinities: np.ndarray, fragments: np.ndarray, *, owned: Sequence[slice] | None = None
) -> RegionGraph:
    """Collect the affinities of all touching pairs of voxels of two fragments.

    Source: the paper, section 2.3.

    Exact at block borders: each voxel pair (v, v - e) is counted by the block that owns voxel v. Give each block one
    voxel more on the low side of every axis and name the voxels it owns; the sum of the blocks' graphs
    (`merge_region_graphs`) is then the graph of the whole.

    Parameters
    ----------
    affinities : (offset, z, y, x) uint8, or float32 in [0, 1]
        Channels 0 to 2 hold the pairs (v, v + o) for the offsets (-1, 0, 0), (0, -1, 0), (0, 0, -1);
        floats are quantised.
    fragments : (z, y, x) uint64 or uint32
        Any ids; 0 is no fragment and has no edges.
    owned : three slices, optional
        The voxels whose pairs and sizes are counted; all by default.

    Returns
    -------
    RegionGraph

    Raises
    ------
    InputError
        Where shapes or types do not fit.

    Examples
    --------
    >>> affinities = np.full((3, 2, 1, 4), 204, np.uint8)
    >>> fragments = np.array([[[1, 1, 3, 3]], [[1, 1, 3, 3]]], np.uint64)
    >>> graph = clew.build_region_graph(affinities, fragments)
    >>> graph.sizes.tolist(), graph.edges.tolist(), graph.counts.tolist()
    ([4, 4], [[1, 3]], [2])
    """
    affinities = quantise(affinities)
    fragments = _checked_fragments(as_array(fragments, "fragments"), affinities.shape[1:])
    box = as_box((slice(None),) * 3 if owned is None else owned, fragments.shape, "owned")
    return _assemble(collect_contacts(affinities, fragments, box.low, box.high))


def merge_region_graphs(graphs: Iterable[RegionGraph]) -> RegionGraph:
    """Add up region graphs of disjoint sets of voxels.

    The result does not depend on their order.

    Parameters
    ----------
    graphs : iterable of RegionGraph

    Returns
    -------
    RegionGraph

    Raises
    ------
    InputError
        Where there is no graph.

    Examples
    --------
    Two blocks, of which the second has one voxel more on its low side:

    >>> affinities, fragments = np.full((3, 1, 1, 4), 204, np.uint8), np.array([[[1, 1, 3, 3]]], np.uint64)
    >>> low = clew.build_region_graph(affinities[..., :2], fragments[..., :2])
    >>> high = clew.build_region_graph(affinities[..., 1:], fragments[..., 1:],
    ...                                owned=(slice(None), slice(None), slice(1, None)))
    >>> graph = clew.merge_region_graphs([low, high])
    >>> graph.sizes.tolist(), graph.edges.tolist()
    ([2, 2], [[1, 3]])
    """
    parts = [checked_graph(graph) for graph in graphs]
    if not parts:
        raise InputError("merge_region_graphs needs at least one region graph, not none")
    return pool_region_graph(
        np.concatenate([part.fragments for part in parts]),
        np.concatenate([part.sizes for part in parts]),
        np.concatenate([part.edges for part in parts]),
        np.concatenate([np.diff(part.starts) for part in parts]),
        np.concatenate([part.bins for part in parts]),
        np.concatenate([part.counts for part in parts]),
    )


def checked_graph(graph: RegionGraph) -> RegionGraph:
    """Check a graph and return it with arrays as the kernels read them.

    Whether edges join fragments that it lists is not checked: `edge_positions` does that.
    """
    checked = RegionGraph(
        as_ids(graph.fragments, "fragments"), as_counts(graph.sizes, "sizes"), as_ids(graph.edges, "edges"),
        as_counts(graph.starts, "starts"), _checked_bins(graph.bins), as_counts(graph.counts, "counts", 1),
    )  # fmt: skip
    problem = _problem_of_tables(checked) or _problem_of_values(checked)
    if problem:
        raise InputError(f"the region graph is broken: {problem}")
    return checked


def edge_positions(fragments: NDArray[np.uint64], edges: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Positions in the fragments of both ends of each edge.

    An InputError where one is missing.
    """
    ends = positions_of(fragments, edges)
    if (ends < 0).any():
        raise InputError("the region graph is broken: edges must join fragments that it lists")
    return ends


def strictly_ascending(values: np.ndarray) -> bool:
    """Tell whether each value is larger than the one before."""
    return not (values[1:] <= values[:-1]).any()


def _checked_bins(bins: np.ndarray) -> NDArray[np.uint8]:
    values = as_array(bins, "bins")
    if values.dtype == np.uint8 and values.ndim == 1:
        return np.ascontiguousarray(values)
    values = as_counts(values, "bins")
    if values.size and values.max() > 255:
        raise InputError(f"bins must be affinities from 0 to 255, not up to {values.max()}")
    return values.astype(np.uint8)


def _problem_of_tables(graph: RegionGraph) -> str:
    """What is wrong with the lengths of the arrays of a graph; "" if nothing is."""
    if graph.fragments.ndim != 1 or graph.sizes.shape != graph.fragments.shape:
        return f"{len(graph.sizes)} sizes for fragments of shape {graph.fragments.shape}"
    if graph.edges.shape != (len(graph.edges), 2) or len(graph.starts) != len(graph.edges) + 1:
        return f"{len(graph.starts)} starts for edges of shape {graph.edges.shape}: wanted (n, 2), and n + 1 starts"
    if graph.starts[0] != 0 or not graph.starts[-1] == len(graph.bins) == len(graph.counts):
        return (
            f"starts go from {graph.starts[0]} to {graph.starts[-1]}, wanted 0 to the number of bins and of counts, "
            f"which are {len(graph.bins)} and {len(graph.counts)}"
        )
    return ""


def _problem_of_values(graph: RegionGraph) -> str:
    """What is wrong with the values in the arrays of a graph; "" if nothing is."""
    if not strictly_ascending(graph.fragments) or (graph.fragments[:1] == 0).any():
        return "fragments must be ascending, without 0"
    if not strictly_ascending(graph.starts):
        return "starts must be ascending: every edge has a histogram"
    one, two = graph.edges.T
    follows = (one[1:] > one[:-1]) | ((one[1:] == one[:-1]) & (two[1:] > two[:-1]))
    if not (one < two).all() or not follows.all():
        return "edges must be pairs of fragments, the smaller first, in lexicographic order"
    rises = graph.bins[1:] > graph.bins[:-1]
    rises[graph.starts[1:-1] - 1] = True
    if not rises.all():
        return "bins must be ascending within an edge"
    if graph.counts.sum(dtype=np.float64) >= _MOST_PAIRS:
        return f"counts must be voxel pairs, fewer than {_MOST_PAIRS} in all"
    return ""


def contract_region_graph(graph: RegionGraph, lookup: NDArray[np.uint64]) -> RegionGraph:
    """The region graph of the segments of a lookup.

    `lookup[i]` is the segment of `graph.fragments[i]`; 0 drops the fragment.

    Raises
    ------
    InputError
        Where `lookup` has another length than the graph has fragments.
    """
    lookup = np.asarray(lookup, np.uint64)
    if lookup.shape != graph.fragments.shape:
        count = len(graph.fragments)
        raise InputError(f"lookup must have one segment for each of the {count} fragments, not shape {lookup.shape}")
    ends = lookup[edge_positions(graph.fragments, graph.edges)]
    kept = lookup != 0
    return pool_region_graph(lookup[kept], graph.sizes[kept], ends, np.diff(graph.starts), graph.bins, graph.counts)


def pool_region_graph(
    fragments: NDArray[np.uint64],
    sizes: NDArray[np.int64],
    edges: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    bins: NDArray[np.uint8],
    counts: NDArray[np.int64],
) -> RegionGraph:
    """Make a region graph from tables with repetitions.

    Pairs within one fragment and pairs with 0 are dropped.
    """
    ids, indices = np.unique(fragments, return_inverse=True)
    summed = np.zeros(len(ids), np.int64)
    np.add.at(summed, indices, sizes)
    kept = (edges[:, 0] != edges[:, 1]) & (edges != 0).all(axis=1)
    cells = np.repeat(kept, lengths)
    ends = np.sort(edge_positions(ids, edges[kept]), axis=1)
    keys, positions = np.unique(ends[:, 0] * np.int64(max(len(ids), 1)) + ends[:, 1], return_inverse=True)
    cell_keys = np.repeat(positions, lengths[kept]) * 256 + bins[cells]
    order = np.argsort(cell_keys, kind="stable")
    cell_keys = cell_keys[order]
    first = np.flatnonzero(np.diff(cell_keys, prepend=-1))
    pooled = np.add.reduceat(counts[cells][order], first) if len(first) else np.zeros(0, np.int64)
    starts = np.searchsorted(cell_keys[first], np.arange(len(keys) + 1) * 256)
    pairs = np.stack(np.divmod(keys, max(len(ids), 1)), axis=1)
    pooled_bins = (cell_keys[first] & 255).astype(np.uint8)
    return RegionGraph(ids, summed, ids[pairs], starts.astype(np.int64), pooled_bins, pooled)


def _checked_fragments(fragments: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The fragments as the kernel reads them.

    They are in C order, as uint32, or as the bits of uint64 in int64.
    """
    if fragments.dtype not in (np.uint32, np.uint64):
        raise InputError(f"fragments must be uint64 or uint32, not {fragments.dtype}: convert them with astype")
    if fragments.shape != shape:
        raise InputError(f"fragments must have the affinities' shape (z, y, x) = {shape}, not {fragments.shape}")
    fragments = np.ascontiguousarray(fragments)
    return fragments.view(np.int64) if fragments.dtype == np.uint64 else fragments


def _ordered_edges(ends: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lexicographic order of the edges, and their ends in this order.

    The ends are (smaller, larger) of the regions ends[:, e].
    """
    ends = np.stack([ends.min(axis=0), ends.max(axis=0)], axis=1)
    order = np.argsort((ends[:, 0] << 32) | ends[:, 1])
    return order, ends[order]


def _assemble(contacts: Contacts) -> RegionGraph:
    """Assemble fragments by ascending id, edges in order, a histogram for each.

    The order of edges is lexicographic; the records are used up.
    """
    ids = contacts.ids.view(np.uint64)
    order = np.argsort(ids, kind="stable")
    ranks = np.empty(len(ids), np.int64)
    ranks[order] = np.arange(len(ids))
    edge_order, ends = _ordered_edges(ranks[contacts.ends])
    starts, bins, counts = sparse_histograms(contacts.records, edge_order)
    kept = contacts.sizes[order] > 0
    kept[ends] = True
    kept[ranks[0]] = False
    return RegionGraph(ids[order][kept], contacts.sizes[order][kept], ids[order][ends], starts, bins, counts)

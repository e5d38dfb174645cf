"""Region graph: which fragments touch, and the multiset of affinities in every contact, as additive integers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.kernels.region_graph import collect_contacts, count_runs, fill_table, gather_contacts, sort_segments
from clew.segmentation.affinities import quantise


@dataclass(frozen=True)
class RegionGraph:
    """Fragments, the pairs of them that touch, and a sparse 256-bin histogram of affinities for each pair.

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
    """

    fragments: NDArray[np.uint64]
    sizes: NDArray[np.int64]
    edges: NDArray[np.uint64]
    starts: NDArray[np.int64]
    bins: NDArray[np.uint8]
    counts: NDArray[np.int64]


def build_region_graph(
    affinities: np.ndarray, fragments: np.ndarray, *, owned: Sequence[slice] | None = None
) -> RegionGraph:
    """Collect the affinities of every pair of touching voxels that lie in two fragments (paper, section 2.3).

    Exact at block borders: each voxel pair (v, v - e) is counted by the block that owns voxel v. Give each block one
    voxel more on the low side of every axis and name the voxels it owns; the sum of the blocks' graphs
    (`merge_region_graphs`) is then the graph of the whole.

    Parameters
    ----------
    affinities : (offset, z, y, x) uint8, or float32 in [0, 1]
        Channels 0 to 2 hold the pairs (v, v + o) for the offsets (-1, 0, 0), (0, -1, 0), (0, 0, -1). Floats are quantised.
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
    """
    affinities = quantise(affinities)
    fragments = _checked_fragments(fragments, affinities.shape[1:])
    low, high = _box(owned, fragments.shape)
    names, sizes, keys, contacts, values = _collect(affinities, fragments, low, high)
    return _assemble(names, sizes, keys, contacts, values)


def merge_region_graphs(graphs: Iterable[RegionGraph]) -> RegionGraph:
    """Add up region graphs of disjoint sets of voxels; the result does not depend on their order.

    Raises
    ------
    InputError
        Where there is no graph.
    """
    parts = list(graphs)
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


def contract_region_graph(graph: RegionGraph, lookup: NDArray[np.uint64]) -> RegionGraph:
    """The region graph of the segments: `lookup[i]` is the segment of `graph.fragments[i]`; 0 drops the fragment.

    Raises
    ------
    InputError
        Where `lookup` has another length than the graph has fragments.
    """
    lookup = np.asarray(lookup, np.uint64)
    if lookup.shape != graph.fragments.shape:
        count = len(graph.fragments)
        raise InputError(f"lookup must have one segment for each of the {count} fragments, not shape {lookup.shape}")
    ends = lookup[np.searchsorted(graph.fragments, graph.edges)]
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
    """Region graph from tables with repetitions: sums what belongs to one fragment or one pair, drops pairs within one or with 0."""
    names, numbers = np.unique(fragments, return_inverse=True)
    summed = np.zeros(len(names), np.int64)
    np.add.at(summed, numbers, sizes)
    kept = (edges[:, 0] != edges[:, 1]) & (edges != 0).all(axis=1)
    cells = np.repeat(kept, lengths)
    ends = np.sort(np.searchsorted(names, edges[kept]), axis=1)
    keys, places = np.unique(ends[:, 0] * np.int64(max(len(names), 1)) + ends[:, 1], return_inverse=True)
    cell_keys = np.repeat(places, lengths[kept]) * 256 + bins[cells]
    order = np.argsort(cell_keys, kind="stable")
    cell_keys = cell_keys[order]
    first = np.flatnonzero(np.diff(cell_keys, prepend=-1))
    pooled = np.add.reduceat(counts[cells][order], first) if len(first) else np.zeros(0, np.int64)
    starts = np.searchsorted(cell_keys[first], np.arange(len(keys) + 1) * 256)
    pairs = np.stack(np.divmod(keys, max(len(names), 1)), axis=1)
    pooled_bins = (cell_keys[first] & 255).astype(np.uint8)
    return RegionGraph(names, summed, names[pairs], starts.astype(np.int64), pooled_bins, pooled)


def _checked_fragments(fragments: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The fragments as the kernel reads them: C order, uint32, or the bits of uint64 as int64 (numba mixes signs badly)."""
    if fragments.dtype not in (np.uint32, np.uint64):
        raise InputError(f"fragments must be uint64 or uint32, not {fragments.dtype}: convert them with astype")
    if fragments.shape != shape:
        raise InputError(f"fragments must have the affinities' shape (z, y, x) = {shape}, not {fragments.shape}")
    fragments = np.ascontiguousarray(fragments)
    return fragments.view(np.int64) if fragments.dtype == np.uint64 else fragments


def _box(owned: Sequence[slice] | None, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if owned is None:
        return (0, 0, 0), shape
    if len(owned) != 3:
        raise InputError(f"owned must be three slices (z, y, x), not {len(owned)}")
    bounds = [axis.indices(length) for axis, length in zip(owned, shape, strict=True)]
    if any(step != 1 or stop <= start for start, stop, step in bounds):
        raise InputError(f"owned must hold voxels of the shape {shape} in steps of 1, not {tuple(owned)}")
    return tuple(start for start, _, _ in bounds), tuple(stop for _, stop, _ in bounds)


def _collect(
    affinities: np.ndarray, fragments: np.ndarray, low: tuple[int, ...], high: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Run the kernel, growing its tables outside of it (a kernel that can rebind an array is many times slower)."""
    width = fragments.shape[2] + 1
    planes = np.empty((2, *fragments.shape[1:]), np.int32)
    positions = np.empty(width, np.int64)
    names, sizes = np.zeros(8 * width, np.int64), np.zeros(8 * width, np.int64)
    keys = np.zeros(24 * width, np.int64)
    contacts, values = np.empty(64 * width, np.uint32), np.empty(64 * width, np.uint8)
    regions, edges = _new_table(names, 0), _new_table(keys, 0)
    fill_table(regions, names, 1)
    rows = (high[0] - max(low[0] - 1, 0)) * (high[1] - max(low[1] - 1, 0))
    state = (0, 1, 0, 0)
    while True:
        state = collect_contacts(
            fragments, affinities, low, high, state, planes, positions,
            (regions, names, sizes), (edges, keys), (contacts, values),
        )  # fmt: skip
        row, region_count, edge_count, filled = state
        if row == rows:
            return names[:region_count], sizes[:region_count], keys[:edge_count], contacts[:filled], values[:filled]
        if 2 * region_count > len(names):
            names, sizes = _doubled(names), _doubled(sizes)
            regions = _new_table(names, region_count)
        if 2 * edge_count > len(keys):
            keys = _doubled(keys)
            edges = _new_table(keys, edge_count)
        if 2 * filled > len(contacts):
            contacts, values = _doubled(contacts), _doubled(values)


def _new_table(names: np.ndarray, count: int) -> np.ndarray:
    table = np.full((1 << int(2 * len(names) - 1).bit_length(), 2), -1, np.int64)
    fill_table(table, names, count)
    return table


def _doubled(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, np.zeros_like(values)])


def _assemble(
    names: np.ndarray, sizes: np.ndarray, keys: np.ndarray, contacts: np.ndarray, values: np.ndarray
) -> RegionGraph:
    """Fragments by ascending id, edges in lexicographic order, a sparse histogram for each."""
    ids = names.view(np.uint64)
    order = np.argsort(ids, kind="stable")
    ranks = np.empty(len(ids), np.int64)
    ranks[order] = np.arange(len(ids))
    ends = np.sort(np.stack([ranks[keys >> 32], ranks[keys & 0xFFFFFFFF]], axis=1), axis=1)
    edge_order = np.argsort((ends[:, 0] << 32) | ends[:, 1], kind="stable")
    edge_ranks = np.empty(len(keys), np.int64)
    edge_ranks[edge_order] = np.arange(len(keys))
    segments, gathered = np.zeros(len(keys) + 1, np.int64), np.empty_like(values)
    gather_contacts(contacts, values, edge_ranks, segments, gathered)
    cells = sort_segments(segments, gathered)
    starts, bins, counts = np.empty_like(segments), np.empty(cells, np.uint8), np.empty(cells, np.int64)
    count_runs(segments, gathered, starts, bins, counts)
    ends = ends[edge_order]
    kept = sizes[order] > 0
    kept[ends] = True
    kept[ranks[0]] = False
    return RegionGraph(ids[order][kept], sizes[order][kept], ids[order][ends], starts, bins, counts)

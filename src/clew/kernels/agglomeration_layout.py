"""The tables that agglomeration works on: their columns, and how they are made from a region graph."""

from typing import NamedTuple

import numpy as np

from clew.kernels._jit import at, bare_kernel

MEAN, QUANTILE, TOP = 0, 1, 2
"""Kinds of score: mean; quantile; mean of the largest values."""
FULL = 65535
"""Level of the score 1 (of quantiles 255)."""
DENSE = 64
"""A pooled edge with so many cells in its chain gets a dense histogram: long chains were what pooling waited for."""
BINS = 272
"""Of a dense histogram: 256 values, then 16 sums of 16 values each, so that a quantile looks at 32 bins at most."""

# columns of an edge, int32: its two regions, and
KEY, LEVEL, WAITING = 4, 5, 7
SLOT, CHAIN, TAIL, SIZE = 10, 11, 12, 13
# columns of an edge, int64: number of values; their sum (MEAN, TOP); first cell << 9 | number of cells (QUANTILE)
COUNT, SUM, CELLS = 4, 5, 7
# columns of a region, int32; the first four belong to the segment of its initial edges
START, STOP, FOLLOWING, LAST, NAME, HELD, REGION_COLUMNS = 0, 1, 2, 3, 4, 5, 6
# states of an edge
FRESH, STALE, GONE = 0, 1, 2

# a cell of a sparse histogram is count << 8 | value; CELLS packs where they are: first << 9 | number, at most 256
VALUE, VALUE_BITS, NUMBER, NUMBER_BITS = 255, 8, 511, 9


class Rule(NamedTuple):
    """How to score and when to stop: kind of score, its percent, lowest level that merges, and the voxels from which
    on two regions do not merge (0: no matter how many)."""

    kind: int
    percent: int
    floor: int
    minimum_size: int


class Graph(NamedTuple):
    """Edges and regions while they merge; n edges, m regions.

    Parameters
    ----------
    edges : (n, 16) int32, each row one cache line
    wide : (n, 8) int64, the same memory
    states : (n,) uint8
    regions : (m, 6) int32
    degrees : (m,) int32, edges of each region
    sizes : (m,) int64, voxels of each region
    entries : (2 · n,) int32, the segments of edges
    table : (power of two,) int64, finds the edge of two regions; -1 is free
    used : (1,) int64, slots of the table in use
    moving : (n, 2) int64, room for the edges that a merge moves, and their slots
    """

    edges: np.ndarray
    wide: np.ndarray
    states: np.ndarray
    regions: np.ndarray
    degrees: np.ndarray
    sizes: np.ndarray
    entries: np.ndarray
    table: np.ndarray
    used: np.ndarray
    moving: np.ndarray


class Values(NamedTuple):
    """What scores are made of.

    Parameters
    ----------
    cells : (cells,) int64, the sparse histograms (QUANTILE)
    dense : (slots, 272) int64, histograms of edges with many cells (QUANTILE)
    free : (slots + 1,) int64, number of free slots, then these
    scratch : (272,) int64, one more histogram, zeros between two uses
    tops : (n, k) uint8, the largest values of each edge, descending (TOP)
    spare : (k,) uint8, room for a row of tops
    touched : (n + 1,) int64, number of edges that a merge pooled, then these (TOP)
    """

    cells: np.ndarray
    dense: np.ndarray
    free: np.ndarray
    scratch: np.ndarray
    tops: np.ndarray
    spare: np.ndarray
    touched: np.ndarray


class Buckets(NamedTuple):
    """Edges by level: initial ones in `order` of level and key with `bounds` of each level; chains of `waiting` ones that
    fell to a level; room for a `heap` of the present level."""

    order: np.ndarray
    bounds: np.ndarray
    waiting: np.ndarray
    heap: np.ndarray


class Merges(NamedTuple):
    """Room for merges: (m, 3) int64 survivor, absorbed and key of the edge; (m,) int64 level of its score."""

    pairs: np.ndarray
    levels: np.ndarray


class OpenEdges(NamedTuple):
    """Edges that are left between two held regions, in the order of their keys: row in the graph, names of the two regions
    (n, 2), key."""

    rows: np.ndarray
    regions: np.ndarray
    keys: np.ndarray


def open_edges(graph: Graph) -> OpenEdges:
    """The edges that could not be decided."""
    held = graph.regions[:, HELD] != 0
    rows = np.flatnonzero((graph.states != GONE) & held[graph.edges[:, :2]].all(axis=1))
    rows = rows[np.argsort(graph.edges[rows, KEY])]
    return OpenEdges(rows, graph.regions[graph.edges[rows, :2], NAME], graph.edges[rows, KEY])


@bare_kernel
def _list_edges(ends, graph):
    """Each region's edges as one segment of `entries`."""
    regions, degrees = graph.regions, graph.degrees
    degrees[:] = 0
    for edge in range(ends.shape[0]):
        degrees[at(ends[at(edge), 0])] += 1
        degrees[at(ends[at(edge), 1])] += 1
    start = np.int32(0)
    for region in range(regions.shape[0]):
        regions[region, START] = regions[region, STOP] = start
        regions[region, FOLLOWING] = -1
        regions[region, LAST] = regions[region, NAME] = region
        start += degrees[region]
    for edge in range(ends.shape[0]):
        for side in range(2):
            region = at(ends[edge, side])
            graph.entries[at(regions[region, STOP])] = edge
            regions[region, STOP] += 1


@bare_kernel
def lay_out(kind, ends, histograms, graph, values):
    """Lay out edges and regions; edge e joins ends[e], has key e, and holds counts[k] values bins[k] from starts[e]
    to starts[e + 1]; `histograms` are starts, bins and counts."""
    edges, wide, tops = graph.edges, graph.wide, values.tops
    starts, bins, counts = histograms
    _list_edges(ends, graph)
    for edge in range(edges.shape[0]):
        count, total = 0, 0
        start, stop = starts[at(edge)], starts[at(edge + 1)]
        for k in range(stop - 1, start - 1, -1):
            value, number = np.int64(bins[at(k)]), counts[at(k)]
            if kind == TOP:
                for _ in range(min(number, tops.shape[1] - count)):
                    tops[edge, count] = value
                    total += value
                    count += 1
            else:
                count += number
                total += number * value
                if kind == QUANTILE:
                    values.cells[at(k)] = (number << VALUE_BITS) | value
        wide[at(edge), COUNT] = count
        if kind == QUANTILE:
            edges[at(edge), SLOT] = -1
            edges[at(edge), CHAIN] = -1
            edges[at(edge), TAIL] = edge
            edges[at(edge), SIZE] = stop - start
            wide[at(edge), CELLS] = (start << NUMBER_BITS) | (stop - start)
        else:
            wide[at(edge), SUM] = total
        edges[at(edge), 0] = ends[at(edge), 0]
        edges[at(edge), 1] = ends[at(edge), 1]
        edges[at(edge), KEY] = edge
        graph.states[at(edge)] = FRESH

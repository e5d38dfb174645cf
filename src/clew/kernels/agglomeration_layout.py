"""The tables that agglomeration works on.

Their columns, and how they are made from a region graph.
"""

from typing import NamedTuple

import numpy as np

from clew.kernels._jit import at, bare_kernel

MEAN, QUANTILE, TOP = 0, 1, 2
"""Kinds of score: mean; quantile; mean of the largest values."""
FULL = 65535
"""Level of the score 1 (of quantiles 255)."""
VALUES, GROUP_BITS = 256, 4
LEVELS_OF_A_VALUE = FULL // (VALUES - 1)
DENSE = 64
"""A pooled edge with so many cells in its chain gets a dense histogram: long chains were what pooling waited for. From 8 cells
on agglomeration takes 1.2 times as long."""
BINS = VALUES + (VALUES >> GROUP_BITS)
"""Of a dense histogram: 256 values, then 16 sums of 16 values each, so that a quantile looks at 32 bins at most."""

# columns of an edge, int32: its two regions, and
FIRST, SECOND = 0, 1
KEY, LEVEL, WAITING = 4, 5, 7
SLOT, CHAIN, TAIL, SIZE = 10, 11, 12, 13
# columns of an edge, int64: number of values; their sum (MEAN, TOP); first cell << 9 | number of cells (QUANTILE). Column k
# is the int32 columns 2 k and 2 k + 1: SUM lies where SLOT and CHAIN do, which QUANTILE alone has
COUNT, SUM, CELLS = 4, 5, 7
# columns of a region, int32; the first four belong to the segment of its initial edges
START, STOP, FOLLOWING, LAST, NAME, HELD, REGION_COLUMNS = 0, 1, 2, 3, 4, 5, 6
# columns of what a merge moves: the edge, and its place in the table
EDGE, PLACE = 0, 1
# columns of a merge
SURVIVOR, ABSORBED, MERGE_KEY = 0, 1, 2
# states of an edge, a byte beside its line: edges that have gone are passed over without a look at the line
FRESH, STALE, GONE = 0, 1, 2

# a cell of a sparse histogram is count << 8 | value; CELLS packs where they are: first << 9 | number, at most 256
VALUE, VALUE_BITS, NUMBER, NUMBER_BITS = 255, 8, 511, 9


class Rule(NamedTuple):
    """How to score and when to stop.

    Parameters
    ----------
    kind : int
        MEAN, QUANTILE or TOP.
    percent : int
        Of a quantile.
    largest : int
        How many largest values count (TOP).
    floor : int
        Lowest level that merges.
    minimum_size : int
        Two regions of so many voxels do not merge; 0: no matter how many.
    """

    kind: int
    percent: int
    largest: int
    floor: int
    minimum_size: int


class Histograms(NamedTuple):
    """Sparse histograms of n edges.

    That of edge e is bins[starts[e]:starts[e + 1]] with counts[starts[e]:starts[e + 1]].

    Parameters
    ----------
    starts : (n + 1,) int64
    bins : (k,) uint8, ascending within an edge
    counts : (k,) int64, at least 1
    """

    starts: np.ndarray
    bins: np.ndarray
    counts: np.ndarray


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
    """Edges by level.

    Initial ones in `order` of level and key with `bounds` of each level; chains of `waiting` ones that fell to a level;
    room for a `heap` of the present level.
    """

    order: np.ndarray
    bounds: np.ndarray
    waiting: np.ndarray
    heap: np.ndarray


class Merges(NamedTuple):
    """Room for merges.

    (m, 3) int64 survivor, absorbed and key of the edge; (m,) int64 level of its score.
    """

    pairs: np.ndarray
    levels: np.ndarray


class OpenEdges(NamedTuple):
    """Edges that are left between two held regions, in the order of their keys.

    Row in the graph, indices of the two regions (n, 2), key.
    """

    rows: np.ndarray
    regions: np.ndarray
    keys: np.ndarray


def level_step(kind: int) -> int:
    """65535ths of one level of a score."""
    return LEVELS_OF_A_VALUE if kind == QUANTILE else 1


def laid_out(rule: Rule, ends: np.ndarray, sizes: np.ndarray, histograms: Histograms) -> tuple[Graph, Values]:
    """Edges and regions as the kernels merge them, and their values.

    They are not scored yet; arguments as for `merge_regions`.
    """
    edges = _new_edges(len(ends))
    graph = Graph(
        edges=edges,
        wide=edges.view(np.int64),
        states=np.empty(len(ends), np.uint8),
        regions=np.empty((len(sizes), REGION_COLUMNS), np.int32),
        degrees=np.empty(len(sizes), np.int32),
        sizes=sizes.copy(),
        entries=np.empty(2 * len(ends), np.int32),
        table=np.empty(1 << int(2 * len(ends) + 1).bit_length(), np.int64),
        used=np.zeros(1, np.int64),
        moving=np.empty((len(ends), 2), np.int64),
    )
    values = _new_values(rule, len(histograms.bins), len(ends))
    _lay_out(rule.kind, ends, histograms, graph, values)
    return graph, values


def new_buckets(graph: Graph, rule: Rule) -> Buckets:
    """The scored edges in order of level and key, with the bounds of the levels.

    The waiting lists are empty, and there is room for a heap.
    """
    levels, number = graph.edges[:, LEVEL], FULL // level_step(rule.kind) + 1
    order = np.argsort(levels.astype(np.uint16), kind="stable").astype(np.int32)
    bounds = np.zeros(number + 1, np.int64)
    np.cumsum(np.bincount(levels, minlength=number), out=bounds[1:])
    return Buckets(order, bounds, np.full(number, -1, np.int32), np.empty(len(levels) + 1, np.int64))


def new_merges(regions: int) -> Merges:
    """Room for all merges of so many regions."""
    return Merges(np.empty((regions, 3), np.int64), np.empty(regions, np.int64))


def open_edges(graph: Graph) -> OpenEdges:
    """The edges that could not be decided."""
    held = graph.regions[:, HELD] != 0
    rows = np.flatnonzero((graph.states != GONE) & held[graph.edges[:, : SECOND + 1]].all(axis=1))
    rows = rows[np.argsort(graph.edges[rows, KEY])]
    return OpenEdges(rows, graph.regions[graph.edges[rows, : SECOND + 1], NAME], graph.edges[rows, KEY])


def sums_of(graph: Graph, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the values (k,) int64 of the edges in some rows (MEAN, TOP)."""
    return graph.wide[rows, SUM], graph.wide[rows, COUNT]


def _new_edges(count: int) -> np.ndarray:
    """(count, 16) int32, every row one cache line."""
    memory = np.empty(count * 64 + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + count * 64].view(np.int32).reshape(count, 16)


def _new_values(rule: Rule, cells: int, edges: int) -> Values:
    """Room for what scores are made of.

    Each array is only as large as this kind of score needs it.
    """
    cells = cells if rule.kind == QUANTILE else 0
    slots = cells // DENSE + 1
    tops, largest = edges if rule.kind == TOP else 0, max(rule.largest, 1)
    return Values(
        cells=np.empty(cells, np.int64),
        dense=np.zeros((slots, BINS), np.int64),
        free=np.concatenate([[slots], np.arange(slots - 1, -1, -1)]),
        scratch=np.zeros(BINS, np.int64),
        tops=np.zeros((tops, largest), np.uint8),
        spare=np.empty(largest, np.uint8),
        touched=np.zeros(tops + 1, np.int64),
    )


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
        regions[at(region), START] = regions[at(region), STOP] = start
        regions[at(region), FOLLOWING] = -1
        regions[at(region), LAST] = regions[at(region), NAME] = region
        start += degrees[at(region)]
    for edge in range(ends.shape[0]):
        for side in range(2):
            region = at(ends[at(edge), at(side)])
            graph.entries[at(regions[region, STOP])] = edge
            regions[region, STOP] += 1


@bare_kernel
def _lay_out(kind, ends, histograms, graph, values):
    """Lay out edges and regions; edge e joins ends[e] and has key e."""
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
                    tops[at(edge), at(count)] = value
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
        edges[at(edge), FIRST] = ends[at(edge), 0]
        edges[at(edge), SECOND] = ends[at(edge), 1]
        edges[at(edge), KEY] = edge
        graph.states[at(edge)] = FRESH

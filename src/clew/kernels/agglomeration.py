"""Merge the best edge of a region graph again and again, in one strict order.

Parallel edges are pooled.

An edge is one cache line, a row of 16 int32 (or 8 int64: the same memory), and one byte of state, so that edges that have
gone are passed over without a look at their line. Its key is the rank of its initial edge; pooled edges take the largest
key. The edges of a region are its chain of segments of one array: a walk does not wait for one line to find the next.
Edges wait in buckets, one for each score level. Pooling leaves the pooled edge at the better of the two places: a
reducible score's true place can only be worse, so it is scored when its turn comes.
"""

from typing import NamedTuple

import numpy as np

from clew.kernels._heap import pop, push
from clew.kernels._jit import at, bare_kernel, inline, prefetch
from clew.kernels._table import mixed_pair
from clew.kernels.agglomeration_layout import (
    ABSORBED,
    EDGE,
    FIRST,
    FOLLOWING,
    FRESH,
    FULL,
    GONE,
    HELD,
    KEY,
    LAST,
    LEVEL,
    MERGE_KEY,
    NAME,
    PLACE,
    QUANTILE,
    SECOND,
    SLOT,
    STALE,
    START,
    STOP,
    SURVIVOR,
    TOP,
    WAITING,
    Graph,
    Histograms,
    Rule,
    Values,
    laid_out,
    level_step,
    new_buckets,
    new_merges,
)
from clew.kernels.agglomeration_scores import list_values, pool, release, score
from clew.kernels.cannot_link import Sides, conflict, unite_sides

# entries of the table and of heaps hold two numbers: tag or key in the high half, edge in the low one
_LOW, _HALF = 0xFFFFFFFF, 32
# the tag is 31 bits of the hash, those above the bits that find the slot of all but the largest tables
_TAG, _TAG_SHIFT = 0x7FFFFFFF, 20
_FULLEST = 7, 10
"""The table is made anew, without the edges that have gone, when this part of it is in use."""


class Merged(NamedTuple):
    """What merging leaves.

    Parameters
    ----------
    pairs : (k, 3) int64
        Survivor, absorbed region (the survivor's index is smaller) and key of the edge, in the order of the merges.
    levels : (k,) int64
        Scores in 65535ths.
    rule : Rule
    graph : Graph
    values : Values
    """

    pairs: np.ndarray
    levels: np.ndarray
    rule: Rule
    graph: Graph
    values: Values


def merge_regions(
    rule: Rule, ends: np.ndarray, sizes: np.ndarray, histograms: Histograms, held: np.ndarray, sides: Sides
) -> Merged:
    """Merge the two regions of the best edge, until none reaches the floor.

    Parameters
    ----------
    rule : Rule
    ends : (n, 2) int64
        Two regions of each edge; n below 2³⁰. The index of an edge is its key.
    sizes : (m,) int64
        Voxels of each region; m below 2³⁰.
    histograms : Histograms
        Of the affinities of each edge.
    held : (m,) bool
        Regions that may not merge, nor may what would merge with them (not for the kind TOP).
    sides : Sides
        Regions on different sides of a split never merge: an edge between them is dropped, never waited for. Its chains
        are changed.

    Returns
    -------
    Merged
    """
    graph, values = _scored(rule, ends, sizes, histograms)
    graph.regions[:, HELD] = held
    merges = new_merges(len(sizes))
    if rule.kind == TOP:
        heap, holders = np.empty(2 * len(ends), np.int64), np.empty(len(ends), np.int32)
        count = _merge_from_heap(rule, graph, sides, values, heap, holders, merges)
    else:
        count = _merge_in_buckets(rule, graph, sides, values, new_buckets(graph, rule), merges)
    return Merged(merges.pairs[:count], merges.levels[:count] * level_step(rule.kind), rule, graph, values)


def first_levels(rule: Rule, ends: np.ndarray, sizes: np.ndarray, histograms: Histograms) -> np.ndarray:
    """Scores of all edges before anything is merged.

    Parameters
    ----------
    rule, ends, sizes, histograms : as of `merge_regions`
        As of `merge_regions`; the floor does not matter.

    Returns
    -------
    (n,) int64, in 65535ths
    """
    return _scored(rule, ends, sizes, histograms)[0].edges[:, LEVEL] * np.int64(level_step(rule.kind))


def histograms_of(merged: Merged, rows: np.ndarray) -> Histograms:
    """Histograms of some edges that merging has left.

    Parameters
    ----------
    merged : Merged
        By a quantile.
    rows : (k,) int64
        Edges, by their rows in the graph.

    Returns
    -------
    Histograms
    """
    starts, bins, counts = np.empty(len(rows) + 1, np.int64), np.empty(0, np.uint8), np.empty(0, np.int64)
    list_values(merged.graph, merged.values, rows, Histograms(starts, bins, counts))
    listed = Histograms(starts, np.empty(starts[-1], np.uint8), np.empty(starts[-1], np.int64))
    list_values(merged.graph, merged.values, rows, listed)
    return listed


def _scored(rule: Rule, ends: np.ndarray, sizes: np.ndarray, histograms: Histograms) -> tuple[Graph, Values]:
    graph, values = laid_out(rule, ends, sizes, histograms)
    _score_edges(rule, graph, values)
    return graph, values


@inline
def _entry(one, two, edge):
    return (((mixed_pair(one, two) >> _TAG_SHIFT) & _TAG) << _HALF) | edge


@inline
def _find(graph, one, two):
    """Slot and edge that joins regions `one` < `two`, or the first free slot and -1.

    A slot holds 31 bits of the hash and the edge, so that most others are told apart without a look at their line; slots
    of edges that have gone or moved are passed over.
    """
    edges, table = graph.edges, graph.table
    mask = table.shape[0] - 1
    tag, slot = _entry(one, two, 0) >> _HALF, mixed_pair(one, two) & mask
    while True:
        entry = table[at(slot)]
        if entry < 0:
            return slot, np.int64(-1)
        if entry >> _HALF == tag:
            edge = entry & _LOW
            first, second = edges[at(edge), FIRST], edges[at(edge), SECOND]
            if min(first, second) == one and max(first, second) == two and graph.states[at(edge)] != GONE:
                return slot, edge
        slot = (slot + 1) & mask


@bare_kernel
def _enter_all(graph):
    """Empty the table and fill it with the edges that are left; returns their number."""
    edges, entered = graph.edges, 0
    graph.table[:] = -1
    for edge in range(edges.shape[0]):
        if graph.states[at(edge)] != GONE:
            first, second = np.int64(edges[at(edge), FIRST]), np.int64(edges[at(edge), SECOND])
            one, two = min(first, second), max(first, second)
            graph.table[at(_find(graph, one, two)[0])] = _entry(one, two, edge)
            entered += 1
    return entered


@inline
def _gather(stays, goes, graph):
    """List the edges of the region that goes in `moving`; returns their number.

    They come from its chain of segments.

    All lines that will be needed are asked for, one kind after the other, so that those of a whole region are on their way
    at once: agglomeration took 1.4 times as long before.
    """
    edges, regions, table, moving = graph.edges, graph.regions, graph.table, graph.moving
    count, segment, mask = 0, goes, table.shape[0] - 1
    while segment >= 0:
        for place in range(regions[at(segment), START], regions[at(segment), STOP]):
            moved = np.int64(graph.entries[at(place)])
            moving[at(count), EDGE] = moved
            if graph.states[at(moved)] != GONE:
                prefetch(edges, moved)
                count += 1
        segment = np.int64(regions[at(segment), FOLLOWING])
    for k in range(count):
        moved = at(moving[at(k), EDGE])
        other = np.int64(edges[moved, FIRST]) + np.int64(edges[moved, SECOND]) - goes
        slot = mixed_pair(min(stays, other), max(stays, other)) & mask
        moving[at(k), PLACE] = slot
        prefetch(table, slot)
    for k in range(count):
        prefetch(edges, max(table[at(moving[at(k), PLACE])], 0) & _LOW)
    return count


@inline
def _list_moved(stays, goes, count, graph):
    """Put the first `count` edges of `moving` into the segments of one region.

    These are appended, if not empty, to those of another region.
    """
    regions = graph.regions
    last, segment, k = np.int64(regions[at(stays), LAST]), goes, 0
    while segment >= 0:
        place = np.int64(regions[at(segment), START])
        while place < regions[at(segment), STOP] and k < count:
            graph.entries[at(place)] = graph.moving[at(k), EDGE]
            place += 1
            k += 1
        following = np.int64(regions[at(segment), FOLLOWING])
        if place > regions[at(segment), START]:
            regions[at(last), FOLLOWING] = segment
            regions[at(segment), FOLLOWING] = -1
            last = segment
        regions[at(segment), STOP] = place
        segment = following
    regions[at(stays), LAST] = last


@inline
def _forbidden(kind, edge, graph, sides, values):
    """Drop an edge of two regions that may not merge; tell whether it was one.

    What these become may merge no more either, so that the edge is pooled with none that may.
    """
    if sides.heads.shape[0] == 0:
        return False
    one, two = at(graph.edges[at(edge), FIRST]), at(graph.edges[at(edge), SECOND])
    if not conflict(sides, one, two):
        return False
    graph.states[at(edge)] = GONE
    graph.degrees[one] -= 1
    graph.degrees[two] -= 1
    if kind == QUANTILE and graph.edges[at(edge), SLOT] >= 0:
        release(values, np.int64(graph.edges[at(edge), SLOT]))
    return True


@inline
def _merge(kind, edge, graph, sides, values):
    """Merge the two regions of an edge.

    The edges of the region with fewer move to the other, and parallel ones are pooled.
    """
    edges, degrees, moving, table, used = graph.edges, graph.degrees, graph.moving, graph.table, graph.used
    stays, goes = np.int64(edges[at(edge), FIRST]), np.int64(edges[at(edge), SECOND])
    if degrees[at(stays)] < degrees[at(goes)]:
        stays, goes = goes, stays
    graph.states[at(edge)] = GONE
    if kind == QUANTILE and edges[at(edge), SLOT] >= 0:
        release(values, np.int64(edges[at(edge), SLOT]))
    count, kept = _gather(stays, goes, graph), 0
    for k in range(count):
        moved = moving[at(k), EDGE]
        side = np.int64(edges[at(moved), SECOND] == goes)
        other = np.int64(edges[at(moved), at(1 - side)])
        slot, parallel = _find(graph, min(stays, other), max(stays, other))
        if parallel >= 0:
            degrees[at(other)] -= 1
            # the pooled edge waits at the better of the two places: its true one can only be worse
            keeper = parallel
            if edges[at(parallel), LEVEL] < edges[at(moved), LEVEL]:
                keeper = moved
            pool(kind, graph, values, keeper, moved + parallel - keeper)
            if keeper == parallel:
                continue
            degrees[at(stays)] -= 1
        edges[at(moved), at(side)] = stays
        moving[at(kept), EDGE] = moved
        kept += 1
        used[0] += table[at(slot)] < 0
        table[at(slot)] = _entry(min(stays, other), max(stays, other), moved)
        if used[0] * _FULLEST[1] > table.shape[0] * _FULLEST[0]:
            used[0] = _enter_all(graph)
    _list_moved(stays, goes, kept, graph)
    degrees[at(stays)] += kept - 1
    graph.regions[at(stays), NAME] = min(graph.regions[at(stays), NAME], graph.regions[at(goes), NAME])
    graph.sizes[at(stays)] += graph.sizes[at(goes)]
    if sides.heads.shape[0] > 0:
        unite_sides(sides, stays, goes)


@bare_kernel
def _score_edges(rule, graph, values):
    """Give every edge its first score and enter it in the table."""
    for edge in range(graph.edges.shape[0]):
        graph.edges[at(edge), LEVEL] = score(rule, graph, values, edge)
    graph.used[0] = _enter_all(graph)


@inline
def _record(rule, graph, edge, merges, count, level):
    """Note and count the merge along an edge.

    Unless both regions are too large for the rule.
    """
    regions, sizes = graph.regions, graph.sizes
    one, two = at(graph.edges[at(edge), FIRST]), at(graph.edges[at(edge), SECOND])
    if rule.minimum_size > 0 and sizes[one] >= rule.minimum_size and sizes[two] >= rule.minimum_size:
        return count
    merges.pairs[at(count), SURVIVOR] = min(regions[one, NAME], regions[two, NAME])
    merges.pairs[at(count), ABSORBED] = max(regions[one, NAME], regions[two, NAME])
    merges.pairs[at(count), MERGE_KEY], merges.levels[at(count)] = graph.edges[at(edge), KEY], level
    return count + 1


@bare_kernel
def _merge_in_buckets(rule, graph, sides, values, queue, merges):
    """Merge best edges down to the floor level; returns the number of merges.

    The score must be reducible (MEAN, QUANTILE).

    A region that is held may not merge: not all of its edges are known. A free region whose best edge leads to a held one
    has to wait, hence is held too.
    The entries of a bucket are its initial edges, already in order of their keys, and those pushed later, in a heap.
    """
    edges, states, regions = graph.edges, graph.states, graph.regions
    order, bounds, waiting, heap = queue.order, queue.bounds, queue.waiting, queue.heap
    count = 0
    for level in range(bounds.shape[0] - 2, rule.floor - 1, -1):
        place, stop, size = bounds[level], bounds[level + 1], 0
        edge = np.int64(waiting[level])
        while edge >= 0:
            size = push(heap, size, (np.int64(edges[at(edge), KEY]) << _HALF) | edge)
            edge = np.int64(edges[at(edge), WAITING])
        while place < stop or size > 0:
            # of equal scores the smaller key first; initial edges need no heap, as they are in this order already
            if size == 0 or (place < stop and np.int64(order[at(place)]) < heap[0] >> _HALF):
                edge = np.int64(order[at(place)])
                key = edge
                place += 1
            else:
                key, edge = heap[0] >> _HALF, heap[0] & _LOW
                size = pop(heap, size)
            if states[at(edge)] == GONE:
                continue
            if states[at(edge)] == STALE:
                now = score(rule, graph, values, edge)
                states[at(edge)] = FRESH
                edges[at(edge), LEVEL] = now
                if now < level:
                    edges[at(edge), WAITING] = waiting[now]
                    waiting[now] = edge
                    continue
                if np.int64(edges[at(edge), KEY]) > key:
                    size = push(heap, size, (np.int64(edges[at(edge), KEY]) << _HALF) | edge)
                    continue
            if _forbidden(rule.kind, edge, graph, sides, values):
                continue
            one, two = at(edges[at(edge), FIRST]), at(edges[at(edge), SECOND])
            if regions[one, HELD] or regions[two, HELD]:
                regions[one, HELD] = regions[two, HELD] = 1
                continue
            before, count = count, _record(rule, graph, edge, merges, count, level)
            if count > before:
                _merge(rule.kind, edge, graph, sides, values)
    return count


@bare_kernel
def _merge_from_heap(rule, graph, sides, values, heap, holders, merges):
    """Merge best edges for scores that pooling can raise (TOP).

    Pooled edges are scored at once; there is one queue for the whole graph.

    holders[key] is the edge with that key; a heap entry is (65535 - level) << 32 | key, void when its edge has changed.
    """
    edges, states, touched = graph.edges, graph.states, values.touched
    count, size = 0, 0
    for edge in range(edges.shape[0]):
        holders[at(edge)] = edge
        size = push(heap, size, ((FULL - np.int64(edges[at(edge), LEVEL])) << _HALF) | edge)
    while size > 0:
        level, key = FULL - (heap[0] >> _HALF), heap[0] & _LOW
        size = pop(heap, size)
        edge = np.int64(holders[at(key)])
        if states[at(edge)] == GONE or edges[at(edge), KEY] != key or edges[at(edge), LEVEL] != level:
            continue
        if level < rule.floor:
            break
        if _forbidden(rule.kind, edge, graph, sides, values):
            continue
        before, count = count, _record(rule, graph, edge, merges, count, level)
        touched[0] = 0
        if count > before:
            _merge(rule.kind, edge, graph, sides, values)
        for k in range(1, touched[0] + 1):
            edge = np.int64(touched[at(k)])
            level = np.int64(score(rule, graph, values, edge))
            edges[at(edge), LEVEL], states[at(edge)] = level, FRESH
            holders[at(edges[at(edge), KEY])] = edge
            size = push(heap, size, ((FULL - level) << _HALF) | np.int64(edges[at(edge), KEY]))
    return count
